"""Sharing a session's resources among its runs, and closing it while others wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from cgsam_edge.errors import BackendError
from cgsam_edge.native_calls import NATIVE_CALL, stop

T = TypeVar("T")


class Pool(Generic[T]):
    """Lends each item to one run at a time.

    Args:
        items: resources that runs need: one for each parallel run.
        name: name of the graph, for messages.
    """

    def __init__(self, items: Sequence[T], name: str) -> None:
        self._name = name
        self._free = list(items)
        self._lent = 0
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[T]:
        """Lend an item; wait until one is free.

        Raises:
            BackendError: the pool is closed.
        """
        item = self._take()
        try:
            yield item
        finally:
            NATIVE_CALL.end()
            with self._changed:
                self._lent -= 1
                self._free.append(item)
                self._changed.notify_all()

    def close(self) -> None:
        """Refuse new runs, wait for the current ones, and release all items."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._lent)
            self._free.clear()

    def _take(self) -> T:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._free)
            if self._closed:
                raise BackendError(f"{self._name}: the session is closed.")
            if NATIVE_CALL.begin():
                self._lent += 1
                return self._free.pop()
        return stop()  # outside of the lock, which threads that go on need
