"""A camera's frames for work in stages: each is read only as the engine is free, so none ages in a queue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from cgsam_edge.live.camera import Camera, CameraFrame

_POLL = 0.2
"""Seconds between looks at whether to stop."""


class JustInTime:
    """An iterator over a camera's frames that waits until the frame before has left the engine.

    Args:
        camera: the camera.
    """

    def __init__(self, camera: Camera) -> None:
        self._frames = iter(camera)
        self._free = threading.Semaphore(1)
        self._stopped = threading.Event()

    def __iter__(self) -> JustInTime:
        return self

    def __next__(self) -> CameraFrame:
        while not self._free.acquire(timeout=_POLL):
            if self._stopped.is_set():
                raise StopIteration
        return next(self._frames)

    def guarded(self, work: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return work before the engine's that lets the next frame in if it fails."""

        def run(item: Any) -> Any:
            try:
                return work(item)
            except BaseException:
                self._free.release()
                raise

        return run

    def freeing(self, work: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return the engine's work, after which the next frame may be read."""

        def run(item: Any) -> Any:
            try:
                return work(item)
            finally:
                self._free.release()

        return run

    def interrupt(self) -> None:
        """End, from any thread."""
        self._stopped.set()
        self._frames.interrupt()
