"""Frames of a video file."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike, fsdecode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.errors import ImageError, InputError
from cgsam_edge.native_calls import NATIVE_CALL, NativeObject
from cgsam_edge.opencv import cv2
from cgsam_edge.url_secrets import shown_typed
from cgsam_edge.video_files import Kind, kind_of
from cgsam_edge.video_time import Clock, rate_of
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp",
    ".ogv",
)  # fmt: skip

_FASTEST = 1000
"""Largest plausible rate; containers without one report zero or their clock, such as 90000."""

_LOOKED_AT = 25
"""Number of first frames whose times show how closely frames follow each other."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        number: number in the video, from 0.
        seconds: time at which it is shown, by the container's clock.
        image: uint8 RGB (H, W, 3), upright.
        duration: seconds for which it is shown, or None if that follows only from the next frame's time.
    """

    number: int
    seconds: float
    image: NDArray[Any] = field(repr=False)
    duration: float | None = None


class Video:
    """The frames of a video file, as an iterable; each iteration reads the file again, one frame at a time.

    Frames are rotated as the container states, and all have the same size. Their rate need not be constant: each frame
    has its own time. Iterating raises `ImageError` after the last frame that could be decoded, if there was none or the
    file should contain more.

    Args:
        path: a file that OpenCV's FFmpeg can decode.
        every: take each Nth frame, beginning with the first.

    Attributes:
        path: as given.
        every: as given.
        fps: frames a second that iterating yields (the file's rate divided by ``every``), or None if the file has no
            rate. For a varying rate, this is the container's figure, often the mean.

    Raises:
        ImageError: there is no such file, or it is not a video.
        InputError: ``every`` is not a whole number of 1 or more.
    """

    def __init__(self, path: str | PathLike[str], every: int = 1) -> None:
        check_every(every)
        self.path = fsdecode(path)
        self.every = every
        with _opened(self.path) as capture:
            rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps = rate / every if 0 < rate <= _FASTEST else None
        self._count = int(count) if math.isfinite(count) and 0 < count < 2**53 else None

    def expected(self) -> int | None:
        """Return the number of frames to expect according to the container, or None if it does not state one."""
        return None if self._count is None else -(-self._count // self.every)

    def clock_rate(self) -> float | None:
        """Return the frame rate that keeps all times, from the closest of the first frames and the file's rate.

        None if the file has no usable times. This decodes the first frames.
        """
        times: list[float] = []
        with _opened(self.path) as capture:
            while len(times) < _LOOKED_AT and capture.grab():
                times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        rate = rate_of(times, None if self.fps is None else self.fps * self.every)
        return None if rate is None else rate / self.every

    def __iter__(self) -> Iterator[Frame]:
        number, clock = 0, Clock()
        with _opened(self.path) as capture:
            while capture.grab():
                seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if number % self.every == 0:
                    decoded, image = capture.retrieve()
                    if not decoded:
                        break
                    with NATIVE_CALL:
                        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                    yield Frame(number, seconds, image)
                number += 1
                clock.tick(seconds)
        self._check_end(number, clock)

    def _check_end(self, found: int, clock: Clock) -> None:
        if not found:
            raise ImageError(f"{self.path}: a video without a frame that can be decoded.")
        if self._count is None or clock.enough(found, self._count):
            return
        kind, fps = kind_of(self.path), self.fps and self.fps * self.every
        if kind is Kind.COUNTED or fps is None:
            missing = True
        elif kind is Kind.COMPLETE:
            missing = False
        else:  # its count of frames is its length times a rate that need not be constant
            missing = clock.misses(self._count / fps, fps, sparse=kind is not Kind.CUT)
        if missing:
            length = "" if fps is None else f" ({clock.last:.2f} of {self._count / fps:.2f} seconds)"
            raise ImageError(
                f"{self.path}: ends after {found} of {amount(self._count, 'frame')}{length}; it is truncated or "
                "corrupt after that."
            )


def check_every(every: int) -> None:
    """Raise `InputError` if this is not a whole number of 1 or more."""
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise InputError(f"every must be a whole number, 1 or more, got {every!r}.")


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """Open for reading; FFmpeg's messages are suppressed, because the error raised here replaces them."""
    file = Path(path)
    if not file.is_file():  # OpenCV would read some names as patterns or devices
        if file.is_symlink():
            raise ImageError(f"{path}: a link to {str(file.readlink())!r}, which does not exist.")
        raise ImageError(f"{shown_typed(path)}: {'a folder, not a video' if file.is_dir() else 'no such file'}.")
    if not os.access(path, os.R_OK):
        raise ImageError(f"{path}: no permission to read it.")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with typable(path) as name:
        with NATIVE_CALL:
            capture = NativeObject(cv2.VideoCapture(name))
        try:
            if not capture.isOpened():
                raise ImageError(
                    f"{path}: not a video that OpenCV can read: not a video, truncated before its index, or with an "
                    "unsupported codec."
                )
            yield capture
        finally:
            capture.release()


@contextmanager
def typable(path: str) -> Iterator[str]:
    """Yield a path that OpenCV accepts: the same one, or a link to a file or folder whose name is not UTF-8."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory(prefix="cgsam-") as folder:
            link = Path(folder) / f"link{Path(path).suffix.encode('ascii', 'ignore').decode()}"
            link.symlink_to(Path(path).absolute())
            yield str(link)
    else:
        yield path
