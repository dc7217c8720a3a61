"""The overlay video and the JSON lines of a video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from cgsam_edge.errors import OutputError
from cgsam_edge.files import beside

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.cli.inputs import Input

_USUAL_FPS = 25.0
"""For a video that does not say how many frames a second it has."""

_CODEC = "mp4v"
"""MPEG-4 part 2: the one codec for .mp4 that OpenCV's wheels can write on every system."""


class VideoOutput:
    """``NAME.overlay.mp4`` and ``NAME.jsonl``, which appear when the block ends well, and only if there was a frame.

    Args:
        source: the video.

    Attributes:
        overlay: the path of the overlay video.
        frames: how many were added.
        seen: in how many of them each concept is present.
    """

    def __init__(self, source: Input) -> None:
        assert source.video is not None
        self.overlay = source.stem.with_name(f"{source.stem.name}.overlay.mp4")
        self.frames = 0
        self.seen: Counter[str] = Counter()
        self._lines = source.stem.with_name(f"{source.stem.name}.jsonl")
        self._fps = source.video.fps or _USUAL_FPS / source.video.every
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

    def add(self, picture: NDArray[np.uint8], text: str, present: Mapping[str, bool]) -> None:
        """Write a frame.

        Args:
            picture: uint8 BGR (H, W, 3) with even sides; a size other than the first's is cut or filled up with black.
            text: its line.
            present: whether each concept is there.

        Raises:
            OutputError, OSError: it cannot be written; the block's end makes an `OutputError` of either.
        """
        if self._writer is None:
            self._open((picture.shape[1], picture.shape[0]))
        self._writer.write(_fitted(picture, self._size))
        self._text.write(f"{text}\n")
        self._text.flush()  # so that a full disk is met now
        self.frames += 1
        self.seen.update(present)

    def _open(self, size: tuple[int, int]) -> None:
        self._size = size
        self._partial = self._stack.enter_context(beside(self.overlay))
        lines = self._stack.enter_context(beside(self._lines))
        self._text = self._stack.enter_context(lines.open("w", encoding="utf-8"))
        self._writer = cv2.VideoWriter(str(self._partial), cv2.VideoWriter.fourcc(*_CODEC), self._fps, size)
        self._stack.callback(self._writer.release)
        if not self._writer.isOpened():
            raise OutputError(
                f"{self.overlay}: OpenCV cannot write it: the folder is closed to it, or this build lacks the codec "
                f"{_CODEC!r}, which opencv-python's wheels have."
            )

    def _check(self) -> None:
        """Read back how many frames there are: OpenCV is silent about a full disk."""
        if self._writer is None:
            return
        self._writer.release()
        capture = cv2.VideoCapture(str(self._partial))
        found = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        if found < self.frames:
            raise OutputError(
                f"{self.overlay}: only {found} of {self.frames} frames could be written; the disk is full, or a limit "
                "on file sizes was met."
            )


def _fitted(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture on a canvas (width, height): a legend may have fewer lines later."""
    if picture.shape[1::-1] == size:
        return picture
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    part = picture[: size[1], : size[0]]
    canvas[: part.shape[0], : part.shape[1]] = part
    return canvas
