"""What a camera leaves on a disk: JSON lines, and video if wanted, in files that follow each other."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from cgsam_edge.errors import OutputError
from cgsam_edge.live.playable import PlayableVideo, fitted
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FULL = {errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC, errno.EFBIG}
_MEGABYTE = 10**6

_ENOUGH = 32 * _MEGABYTE
"""Twice of this, or of what is kept free, must be there before a video goes on: else it would end again at once."""

_RATE = 5
"""Frames a second, about, for the encoder: that of an engine, not of a camera."""

_CLOSEST = 0.001
"""Seconds by which frames of a video differ at least."""


class Recording:
    """Files ``NAME-TIME.jsonl``, and ``NAME-TIME`` with the video's suffix; a new pair begins by size or by time.

    Each line is on its way to the disk when `add` returns, and a video can be played up to where it was written. On a
    full disk the video ends first, and lines go on; if lines have no room either, the present video is removed for
    them; lines that still have none are counted, and writing goes on as soon as there is room. Where new files have
    no room, the present ones go on.

    Args:
        folder: where the files go; it exists.
        name: how their names begin.
        video: suffix of the video, such as ".overlay.mp4", or None for lines alone.
        rotate_bytes: size of a pair at which the next one begins, or None.
        rotate_seconds: age of a pair at which the next one begins, or None.
        keep_free: bytes of the disk that a video leaves free.
        alpha: whether pictures have transparency.
        progress: called with a line when files begin, a video ends early, or lines are lost.

    Attributes:
        video: as given.
        written: lines written.
        lost: lines that had no room.
        unrecorded: pictures that came while the video was off for lack of room.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        video: str | None = None,
        rotate_bytes: int | None = None,
        rotate_seconds: float | None = None,
        keep_free: int = 64 * _MEGABYTE,
        alpha: bool = False,
        progress: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._folder, self._name, self.video, self._alpha = folder, name, video, alpha
        self._rotate_bytes, self._rotate_seconds, self._keep_free = rotate_bytes, rotate_seconds, keep_free
        self._progress = progress
        self.written = self.lost = self.unrecorded = 0
        self._lost_now = 0
        self._lines: int | None = None
        self._size = 0
        self._began = 0.0
        self._path = self._film_path = folder
        self._film: PlayableVideo | None = None
        self._film_size = (0, 0)
        self._off = self._stays = False
        self._first = self._last = 0.0

    def add(self, line: str, picture: NDArray[np.uint8] | None, seconds: float) -> None:
        """Write a line, and a picture if there is a video.

        Args:
            line: JSON without a line break.
            picture: uint8 RGB (H, W, 3) or RGBA (H, W, 4) with even sides, or None; one whose size differs from
                the first one's of a file is cropped, or padded with black.
            seconds: time of the frame.

        Raises:
            OutputError: the folder cannot be written at all.
        """
        if self._lines is None or self._is_due():
            self.rotate()
        self._add_line(f"{line}\n".encode("utf-8", "backslashreplace"))
        if picture is not None and self.video is not None:
            self._add_picture(picture, seconds)

    def rotate(self) -> bool:
        """Begin new files, and end the present ones; where the disk has no room for new ones, these go on.

        Returns:
            whether new files began.

        Raises:
            OutputError: a file cannot be begun for another reason, or the disk is full and there are no files yet.
        """
        begun = self._begun()
        if begun is None:
            return False
        self.close()
        self._path, self._lines = begun
        self._size, self._began, self._stays = 0, time.monotonic(), False
        self._film_path = self._path.with_name(f"{self._path.stem}{self.video}")
        self._progress(f"→ {self._path}")
        return True

    def close(self) -> None:
        """End the present files."""
        self._end_film(self._last - self._first + _CLOSEST)
        if self._lines is not None:
            os.close(self._lines)
            self._lines = None

    def _begun(self) -> tuple[Path, int] | None:
        """Create the next file of lines; None if the disk is full and the present file can go on."""
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        for number in count(1):
            path = self._folder / f"{self._name}-{stamp}{f'-{number}' if number > 1 else ''}.jsonl"
            try:
                return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            except FileExistsError:
                continue
            except OSError as error:
                if self._lines is None or error.errno not in _FULL:
                    raise OutputError(f"{path}: could not be written ({error.strerror}).") from error
                break
        if not self._stays:
            self._stays = True
            self._progress(f"{self._path}: goes on, because the disk has no room for new files.")
        return None

    def _is_due(self) -> bool:
        old = self._rotate_seconds is not None and time.monotonic() - self._began >= self._rotate_seconds
        return old or (self._rotate_bytes is not None and self._size + self._film_bytes() >= self._rotate_bytes)

    def _film_bytes(self) -> int:
        if self._film is None:
            return 0
        try:
            return self._film_path.stat().st_size
        except OSError:
            return 0

    def _add_line(self, data: bytes) -> None:
        if not (self._has_written(data) or (self._remove_film() and self._has_written(data))):
            self.lost += 1
            self._lost_now += 1
            if self._lost_now == 1:
                self._progress(f"{self._path}: the disk is full; lines are lost until there is room.")
            return
        self.written += 1
        if self._lost_now:
            self._progress(f"{self._path}: there is room again; lost: {amount(self._lost_now, 'line')}.")
            self._lost_now = 0

    def _has_written(self, data: bytes) -> bool:
        """Write all of it or nothing; False if the disk is full."""
        assert self._lines is not None
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._lines, view) :]
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._lines, self._size)
                os.lseek(self._lines, self._size, os.SEEK_SET)
            if error.errno not in _FULL:
                raise OutputError(f"{self._path}: could not be written ({error.strerror}).") from error
            return False
        self._size += len(data)
        return True

    def _remove_film(self) -> bool:
        """Remove the video that belongs to the present lines, to make room for them."""
        if self.video is None or not self._film_path.exists():
            return False
        self._switch_off()
        self._film_path.unlink(missing_ok=True)
        self._progress(f"{self._film_path}: removed, because the disk is full and the lines need the room.")
        return True

    def _add_picture(self, picture: NDArray[np.uint8], seconds: float) -> None:
        free = shutil.disk_usage(self._folder).free
        if self._off and free < 2 * max(self._keep_free, _ENOUGH):
            self.unrecorded += 1
            return
        if self._off:
            if not self.rotate():  # in the present files, it would replace what was recorded
                self.unrecorded += 1
                return
            self._off = False
            self._progress(f"{self._folder}: there is room again; the video goes on in the new files.")
        if free < self._keep_free:
            self._stop_film(f"only {free / _MEGABYTE:.0f} MB of the disk are free")
            return
        try:
            self._write_picture(picture, seconds)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            if error.errno not in _FULL:
                raise OutputError(f"{self._film_path}: could not be written ({error.strerror}).") from error
            self._stop_film("the disk is full")

    def _write_picture(self, picture: NDArray[np.uint8], seconds: float) -> None:
        if self._film is None:
            self._film_size = (picture.shape[1], picture.shape[0])
            self._film = PlayableVideo(self._film_path, self._film_size, alpha=self._alpha, fragmented=True, rate=_RATE)
            self._first = self._last = seconds
        else:
            self._last = max(seconds, self._last + _CLOSEST)
        self._film.add(fitted(picture, self._film_size), self._last - self._first)

    def _stop_film(self, reason: str) -> None:
        self.unrecorded += 1
        self._switch_off()
        self._progress(f"{self._film_path}: the video ends, because {reason}; the lines go on.")

    def _switch_off(self) -> None:
        self._off = True
        self._end_film(self._last - self._first + _CLOSEST)

    def _end_film(self, seconds: float) -> None:
        film, self._film = self._film, None
        if film is not None:
            try:
                film.close(seconds)
            except OSError:  # the disk is full; what was written can be played
                film.abort()
