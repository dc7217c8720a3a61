"""`Camera`: the newest frame of a camera or a stream, whatever the pace at which frames are used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from cgsam_edge.errors import CameraError, CgsamError
from cgsam_edge.live import device, network
from cgsam_edge.live.address import address_of
from cgsam_edge.live.library import load_av
from cgsam_edge.live.pauses import Pauses, positive_seconds
from cgsam_edge.live.reader import start_reader
from cgsam_edge.live.unfailing import unfailing
from cgsam_edge.video import Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Picture(Protocol):
    """A picture that arrived; converting it is left to whoever takes it."""

    def rgb(self) -> NDArray[np.uint8]:
        """Return uint8 RGB (H, W, 3)."""


@dataclass(frozen=True, eq=False)
class CameraFrame(Frame):
    """A frame of a camera.

    Attributes:
        number: number among all frames that arrived, from 0; a gap means that frames were dropped.
        seconds: time of arrival after the first frame's.
        image: uint8 RGB (H, W, 3).
        duration: None.
        arrived: time of arrival, in seconds since 1970 (UTC).
        monotonic: time of arrival by `time.monotonic`, which no change of the clock moves.
    """

    arrived: float = 0.0
    monotonic: float = 0.0

    def age(self) -> float:
        """Return the seconds since it arrived."""
        return time.monotonic() - self.monotonic


@dataclass(frozen=True, eq=False)
class _Arrived:
    picture: Picture
    number: int
    at: float
    monotonic: float


class Camera:
    """The frames of a camera, as an iterable that always yields the newest one and never the same one twice.

    A thread reads everything that arrives, and keeps only the last frame, so a slow reader gets fewer frames, not older
    ones. If the camera is lost, it is tried again until it returns; meanwhile iterating waits. Use it as a context
    manager, or close it.

    `Segmenter.stream_images` takes a camera as its source, and then asks for a frame only as the engine is free.

    Args:
        source: a camera of this machine (0, or "/dev/video0" on Linux), or a URL: ``rtsp://``, ``rtsps://``,
            ``http://`` or ``https://``; a URL may hold user and password, and needs the extra ``video``.
        open_timeout: most seconds for connecting; the first frame must arrive within both timeouts together.
        read_timeout: most seconds without data before the connection counts as lost. Not for cameras of this machine.
        longest_pause: most seconds between two attempts to connect again; pauses grow up to that.
        give_up_after: seconds without a frame after which iterating raises `CameraError`; None waits forever.
        options: options of FFmpeg for a URL, such as ``{"rtsp_transport": "udp"}``.
        progress: called, in the reader's thread, with a line when the camera is lost and when it is back; an exception
            that it raises is shown on the standard error output, and reading goes on.

    Attributes:
        name: the source without user, password and the values of its query, as in messages.
        live: True; `Segmenter.stream_images` then reads no frames in advance.

    Raises:
        CameraError: there is no such camera, it cannot be reached, refuses, or has no video.
        InputError: the source is not one, or a number of seconds is not positive.
        MissingLibraryError: a URL, and PyAV is not installed.
    """

    live = True

    def __init__(
        self,
        source: int | str | PathLike[str],
        *,
        open_timeout: float = 5.0,
        read_timeout: float = 5.0,
        longest_pause: float = 1.0,
        give_up_after: float | None = None,
        options: Mapping[str, str] | None = None,
        progress: Callable[[str], object] | None = None,
    ) -> None:
        self._address = address_of(source)
        self.name = self._address.shown
        self._open_timeout = positive_seconds("open_timeout", open_timeout)
        self._read_timeout = positive_seconds("read_timeout", read_timeout)
        self._give_up_after = None if give_up_after is None else positive_seconds("give_up_after", give_up_after)
        self._options = dict(options or {})
        self._progress = unfailing(progress)
        self._pauses = Pauses(positive_seconds("longest_pause", longest_pause))
        self._newest: _Arrived | None = None
        self._arrived = self._taken = self._reconnections = 0
        self._start: float | None = None
        self._lost: tuple[str, float] | None = None
        self._closed = threading.Event()
        self._changed = threading.Condition()
        if self._address.url is not None:
            load_av(f"{self.name}: a camera in the network")
        start_reader(self._read, self._closed)
        self._await_first()

    @property
    def arrived(self) -> int:
        """Number of frames that arrived."""
        return self._arrived

    @property
    def dropped(self) -> int:
        """Number of frames that a newer one replaced before anybody took them."""
        with self._changed:
            return self._arrived - self._taken - (self._newest is not None)

    @property
    def reconnections(self) -> int:
        """How often the camera was lost and found again."""
        return self._reconnections

    @property
    def problem(self) -> str | None:
        """Why there is no connection at the moment, or None if there is one."""
        lost = self._lost
        return None if lost is None else lost[0]

    def read(self, timeout: float | None = None) -> CameraFrame | None:
        """Return the newest frame that was not returned before; wait for one if necessary.

        Args:
            timeout: most seconds to wait; None waits until there is one, or the camera is closed.

        Returns:
            the frame, or None after the timeout or `close`.

        Raises:
            CameraError: the camera has been lost for longer than ``give_up_after``.
        """
        return self._next(timeout, threading.Event())

    def __iter__(self) -> Frames:
        """Return an iterator that ends with `close`."""
        return Frames(self._next)

    def close(self) -> None:
        """Stop at once, without waiting for the network; iterating ends. The connection ends within the timeouts."""
        self._closed.set()
        with self._changed:
            self._newest = None
            self._changed.notify_all()

    def __enter__(self) -> Camera:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Camera({self.name!r})"

    def _next(self, timeout: float | None, stopped: threading.Event) -> CameraFrame | None:
        """Wait for the next frame; None if time is up, the camera is closed, or the reader was stopped."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._newest is None or stopped.is_set():  # where frames come faster than they are taken, too
                if self._closed.is_set() or stopped.is_set():
                    return None
                self._check_given_up()
                left = 0.2 if until is None else min(0.2, until - time.monotonic())  # Ctrl-C on Windows needs polling
                if left <= 0:
                    return None
                self._changed.wait(left)
            found, self._newest = self._newest, None
            self._taken += 1
        seconds = found.monotonic - (self._start or found.monotonic)
        return CameraFrame(found.number, seconds, found.picture.rgb(), None, found.at, found.monotonic)

    def _check_given_up(self) -> None:
        lost = self._lost
        if lost is not None and self._give_up_after is not None:
            seconds = time.monotonic() - lost[1]
            if seconds > self._give_up_after:
                raise CameraError(f"{lost[0].rstrip('.')}; given up after {seconds:.0f} s.")

    def _await_first(self) -> None:
        """Wait for the first frame, and raise what prevents it."""
        limit = self._open_timeout + self._read_timeout
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._lost is not None, limit)
            arrived, lost = self._newest is not None, self._lost
        if not arrived:
            self.close()
            raise CameraError(lost[0] if lost else f"{self.name}: no picture within {limit:g} s.")

    def _read(self) -> None:
        """The reader's thread: connect, keep the newest frame, and connect again, until closed."""
        while not self._closed.is_set():
            problem = self._read_once()
            if self._closed.is_set():
                return
            if self._lost is None:
                self._lose(problem)
            if self._start is None:  # never connected: the constructor raises
                return
            self._closed.wait(self._pauses.next())

    def _read_once(self) -> str:
        """Read one connection to its end; return why it ended."""
        try:
            with closing(self._connected()) as pictures:
                for picture in pictures:
                    if self._closed.is_set():
                        break
                    self._keep(picture)
        except CgsamError as error:
            return str(error)
        except Exception as error:  # a library's; it must not end the thread, nor be shown with the address
            return f"{self.name}: cannot be read ({type(error).__name__})."
        return f"{self.name}: closed."

    def _connected(self) -> Generator[Picture, None, None]:
        if self._address.url is None:
            return device.pictures(self._address)
        return network.pictures(self._address, self._open_timeout, self._read_timeout, self._options)

    def _keep(self, picture: Picture) -> None:
        found = _Arrived(picture, self._arrived, time.time(), time.monotonic())
        self._count_return()
        with self._changed:
            if self._closed.is_set():
                return
            self._newest = found
            self._arrived += 1
            self._start = found.monotonic if self._start is None else self._start
            self._changed.notify()
        self._pauses.reset()

    def _count_return(self) -> None:
        """Count and report that the camera is back, before anybody can take its frame."""
        with self._changed:
            back, self._lost = self._lost, None
            if back is None or self._closed.is_set():
                return
            self._reconnections += 1
        self._progress(f"{self.name}: back after {time.monotonic() - back[1]:.1f} s.")

    def _lose(self, problem: str) -> None:
        with self._changed:
            self._lost = (problem, time.monotonic())
            self._changed.notify_all()
        if self._start is not None:
            self._progress(f"{problem} Trying again until it returns.")


class Frames:
    """An iterator over a camera's frames, each the newest of its moment.

    Args:
        wait: waits for the next frame; None if the camera is closed or the event is set.
    """

    def __init__(self, wait: Callable[[float | None, threading.Event], CameraFrame | None]) -> None:
        self._wait = wait
        self._stopped = threading.Event()

    def __iter__(self) -> Frames:
        return self

    def __next__(self) -> CameraFrame:
        frame = self._wait(None, self._stopped)
        if frame is None:
            raise StopIteration
        return frame

    def interrupt(self) -> None:
        """End this iterator, from any thread, even while it waits; the camera stays open."""
        self._stopped.set()
