"""MPEG-4 part 2 through OpenCV, the fallback without PyAV: constant rate, no sound, and browsers do not play it."""

from __future__ import annotations

from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from cgsam_edge.errors import OutputError
from cgsam_edge.native_calls import NATIVE_CALL, NativeObject
from cgsam_edge.opencv import cv2
from cgsam_edge.video import typable
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CODEC = "mp4v"
"""The one codec for .mp4 that OpenCV's wheels can write on every system."""


class Mpeg4Video:
    """A video file in which frames are repeated, so that each is shown at its time.

    Args:
        path: a name that ends with ``.mp4``.
        size: width and height of all frames, both even.
        rate: frames a second.
        timed: whether frames have usable times; otherwise each is written once.

    Attributes:
        encoder: what wrote it.
        late: the longest time in seconds by which a frame is shown too late, if the rate is too low.

    Raises:
        OutputError: the file cannot be written.
    """

    encoder = "mpeg4"

    def __init__(self, path: str | PathLike[str], size: tuple[int, int], *, rate: float, timed: bool) -> None:
        self._path, self._rate, self._timed = Path(path), rate, timed
        self.late = 0.0
        self._written = 0
        self._last: NDArray[np.uint8] | None = None
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(typable(str(self._path.parent))))
        with NATIVE_CALL:
            codec = cv2.VideoWriter.fourcc(*_CODEC)
            self._writer = NativeObject(cv2.VideoWriter(str(folder / self._path.name), codec, rate, size))
        if not self._writer.isOpened():
            self._stack.close()
            raise OutputError(
                f"{self._path}: OpenCV cannot write it: the folder is not writable, or this build lacks the codec "
                f"{_CODEC!r}, which opencv-python's wheels include."
            )

    def add(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Write a frame; the previous one is repeated until its time.

        Args:
            image: uint8 RGB (H, W, 3).
            seconds: time at which it is shown, counted from the first frame.
        """
        self._repeat_until(seconds)
        if self._timed:
            self.late = max(self.late, (self._written - 0.5) / self._rate - seconds)
        with NATIVE_CALL:
            self._last = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        self._write()

    def close(self, seconds: float | None = None) -> None:
        """Repeat the last frame until it ends, and write the file's index.

        Raises:
            OutputError: not all frames were written: OpenCV itself does not report a full disk.
        """
        with self._stack:
            if seconds is not None:
                self._repeat_until(seconds)
            self._writer.release()
        with typable(str(self._path)) as name:
            found = _frames_in(name)
        if found < self._written:
            raise OutputError(
                f"only {found} of {amount(self._written, 'frame')} could be written; the disk is full, or a limit on "
                "file sizes was reached."
            )

    def abort(self) -> None:
        """Close the file as it is; it is of no use."""
        self._writer.release()
        self._stack.close()

    def _repeat_until(self, seconds: float) -> None:
        if self._timed and self._last is not None:
            for _ in range(round(seconds * self._rate) - self._written):
                self._write()

    def _write(self) -> None:
        self._writer.write(self._last)
        self._written += 1


def _frames_in(name: str) -> int:
    with NATIVE_CALL:
        capture = NativeObject(cv2.VideoCapture(name))
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    finally:
        capture.release()
