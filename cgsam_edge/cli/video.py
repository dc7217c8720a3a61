"""The overlay video and the JSON lines of a video."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import OutputError
from cgsam_edge.files import beside
from cgsam_edge.opencv import cv2
from cgsam_edge.video import typable
from cgsam_edge.written_files import mark_mp4

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.cli.drawing import Drawn
    from cgsam_edge.cli.inputs import Input

_USUAL_FPS = 25.0
"""Frames a second of a video that does not state its rate."""

_LONGEST_PAUSE = 600.0
"""Longest plausible time between two frames, in seconds. A longer or negative one means that the clock jumps."""

_CODEC = "mp4v"
"""MPEG-4 part 2: the one codec for .mp4 that OpenCV's wheels can write on every system."""


class VideoOutput:
    """``NAME.overlay.mp4`` and ``NAME.jsonl``, which appear when the block succeeds and there was a frame.

    Args:
        source: the video.

    Attributes:
        overlay: the path of the overlay video.
        frames: number of frames added.
        seen: number of frames in which each concept is present.
        late: the longest time in seconds by which a frame is shown too late, if the overlay's rate is too low.
    """

    def __init__(self, source: Input) -> None:
        assert source.video is not None
        self.overlay = source.stem.with_name(f"{source.stem.name}.overlay.mp4")
        self.frames = 0
        self.seen: Counter[str] = Counter()
        self.late = 0.0
        self._video = source.video
        self._lines = source.stem.with_name(f"{source.stem.name}.jsonl")
        self._fps = self._start = 0.0
        self._timed = False
        self._written = 0
        self._last: NDArray[np.uint8] | None = None
        self._seconds = self._until = 0.0
        self._size = (0, 0)
        self._stack = ExitStack()
        self._writer: Any = None

    def __enter__(self) -> VideoOutput:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._check()

    def add(self, drawn: Drawn) -> None:
        """Write a frame; the previous frame is repeated until this one's time.

        A picture whose size differs from the first one's is cropped or padded with black.

        Raises:
            OutputError, OSError: it cannot be written; the block's end turns either into an `OutputError`.
        """
        if self._writer is None:
            self._start = self._seconds = drawn.seconds
            self._open((drawn.picture.shape[1], drawn.picture.shape[0]))
        if not 0 <= drawn.seconds - self._seconds <= _LONGEST_PAUSE:  # the video's clock was reset
            self._start += drawn.seconds - self._seconds - 1 / self._fps
        self._repeat_until(drawn.seconds)
        if self._timed:
            late = (self._written - 0.5) / self._fps - (drawn.seconds - self._start)
            self.late = max(self.late, late)
        self._last = _fitted(drawn.picture, self._size)
        self._write()
        self._seconds, self._until = drawn.seconds, drawn.until
        self._text.write(f"{drawn.text}\n")
        self._text.flush()  # so that a full disk is noticed now
        self.frames += 1
        self.seen.update(drawn.present)

    def _repeat_until(self, seconds: float) -> None:
        """Repeat the last frame until a time; a video without usable times continues frame by frame."""
        if self._timed and self._last is not None:
            for _ in range(round((seconds - self._start) * self._fps) - self._written):
                self._write()

    def _write(self) -> None:
        self._writer.write(self._last)
        self._written += 1

    def _open(self, size: tuple[int, int]) -> None:
        self._size = size
        rate = self._video.clock_rate()
        self._timed = rate is not None
        self._fps = rate or self._video.fps or _USUAL_FPS / self._video.every
        self._partial = self._stack.enter_context(beside(self.overlay))
        lines = self._stack.enter_context(beside(self._lines))
        self._text = self._stack.enter_context(lines.open("w", encoding="utf-8", errors="backslashreplace"))
        folder = Path(self._stack.enter_context(typable(str(self._partial.parent))))
        name = str(folder / self._partial.name)
        self._writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*_CODEC), self._fps, size)
        self._stack.callback(self._writer.release)
        if not self._writer.isOpened():
            raise OutputError(
                f"{self.overlay}: OpenCV cannot write it: the folder is not writable, or this build lacks the codec "
                f"{_CODEC!r}, which opencv-python's wheels include."
            )

    def _check(self) -> None:
        """Count the written frames: OpenCV does not report a full disk."""
        if self._writer is None:
            return
        self._repeat_until(self._until)
        self._writer.release()
        with typable(str(self._partial)) as name:
            found = _frames_in(name)
        if found < self._written:
            raise OutputError(
                f"{self.overlay}: only {found} of {self._written} frames could be written; the disk is full, or a "
                "limit on file sizes was reached."
            )
        mark_mp4(self._partial)


def _frames_in(name: str) -> int:
    capture = cv2.VideoCapture(name)
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    finally:
        capture.release()


def _fitted(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture on a canvas (width, height): a legend may have fewer lines later."""
    if picture.shape[1::-1] == size:
        return picture
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    part = picture[: size[1], : size[0]]
    canvas[: part.shape[0], : part.shape[1]] = part
    return canvas
