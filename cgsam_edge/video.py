"""Frames of a video file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import cv2

from cgsam_edge.errors import ImageError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp",
    ".ogv",
)  # fmt: skip

_FASTEST = 1000
"""Frames a second; containers without a rate show up as zero or as their clock, such as 90000."""

_TOLERANCE = 0.02
"""By this share a container's count of frames may be too high: some derive it from the length in seconds."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        number: in the video, from 0.
        seconds: when it is shown, by the container's clock.
        image: uint8 RGB (H, W, 3), upright.
    """

    number: int
    seconds: float
    image: NDArray[Any] = field(repr=False)


class Video:
    """The frames of a video file, to iterate over; each iteration reads the file anew, one frame at a time.

    Frames stand upright as the container's rotation says, and all have one size. Iterating raises `ImageError` after
    the last frame that could be decoded, if there was none or if the file should hold more.

    Args:
        path: a file that OpenCV's FFmpeg can decode.
        every: take the first of each so many frames.

    Attributes:
        path: as given.
        every: as given.
        fps: frames a second that iterating yields (the file's rate by ``every``), or None where the file has no rate.

    Raises:
        ImageError: there is no such file, or it is no video.
        InputError: ``every`` is under 1.
    """

    def __init__(self, path: str | PathLike[str], every: int = 1) -> None:
        if every < 1:
            raise InputError(f"every must be 1 or more, got {every}.")
        self.path = fspath(path)
        self.every = every
        with _opened(self.path) as capture:
            rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps = rate / every if 0 < rate <= _FASTEST else None
        self._count = int(count) if math.isfinite(count) and count > 0 else None

    def expected(self) -> int | None:
        """Return how many frames the container says that iterating yields, or None where it does not say."""
        return None if self._count is None else -(-self._count // self.every)

    def __iter__(self) -> Iterator[Frame]:
        number = 0
        with _opened(self.path) as capture:
            while capture.grab():
                if number % self.every == 0:
                    decoded, image = capture.retrieve()
                    if not decoded:
                        break
                    seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                    yield Frame(number, seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
                number += 1
        self._check_end(number)

    def _check_end(self, found: int) -> None:
        if not found:
            raise ImageError(f"{self.path}: a video without a frame that can be decoded.")
        if self._count is not None and found < self._count - max(2, _TOLERANCE * self._count):
            raise ImageError(
                f"{self.path}: ends after {found} of {self._count} frames; it is truncated or corrupt from there on."
            )


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """Open for reading; FFmpeg's own messages are left out, as the error here says the same in place."""
    if not os.path.isfile(path):  # noqa: PTH113 — OpenCV takes strings, and some of them would be patterns
        raise ImageError(f"{path}: no such file.")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    capture = cv2.VideoCapture(path)
    try:
        if not capture.isOpened():
            raise ImageError(
                f"{path}: not a video that OpenCV can read: no video, cut off before its index, or of a codec that it "
                "lacks."
            )
        yield capture
    finally:
        capture.release()
