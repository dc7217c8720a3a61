"""Calls into engines and OpenCV, which Python's end must not meet: the C++ of a daemon thread would abort the process.

Python ends a daemon thread where it next asks for the interpreter, and C++ code answers that with SIGABRT.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import Any, NoReturn

LONGEST = 30.0
"""Seconds that the end of the program waits for calls in progress: more than a large model takes for one graph."""


class NativeCalls:
    """A context around one call; not to be nested.

    From the program's end on, daemon threads that were there stop here for good. Other threads go on, so that what runs
    at exit can still segment.
    """

    def __init__(self) -> None:
        self._held: frozenset[int] = frozenset()
        self.forget()

    def __enter__(self) -> None:
        if not self.begin():
            stop()

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> bool:
        """Count a call of this thread; return False if it must not be made."""
        with self._changed:
            if self._held and threading.get_ident() in self._held:
                return False
            self._running += 1
            return True

    def end(self) -> None:
        """Count the call no longer."""
        with self._changed:
            self._running -= 1
            if self._held:
                self._changed.notify_all()

    def forget(self) -> None:
        """Begin anew, as a forked process must: it has no other threads."""
        self._running = 0
        self._held = frozenset()
        self._changed = threading.Condition(threading.Lock())

    def close(self) -> None:
        """Hold daemon threads, and wait for their calls for some seconds at most."""
        kept = {thread.ident for thread in threading.enumerate() if not thread.daemon}
        with self._changed:
            # threads that Python did not start are among the frames alone
            self._held = frozenset(sys._current_frames()) - kept - {threading.get_ident()}  # noqa: SLF001 — documented
            self._changed.wait_for(lambda: not self._running, LONGEST)


def stop() -> NoReturn:
    """Wait for the end of the process."""
    while True:
        threading.Event().wait()


NATIVE_CALL = NativeCalls()
atexit.register(NATIVE_CALL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=NATIVE_CALL.forget)


class NativeObject:
    """An object of OpenCV, such as a video that is being read: each of its methods is such a call.

    Args:
        native: the object.
    """

    def __init__(self, native: Any) -> None:
        self._native = native

    def __getattr__(self, name: str) -> Any:
        """Return a method that calls the object's."""
        method = getattr(self._native, name)

        def call(*arguments: Any) -> Any:
            with NATIVE_CALL:
                return method(*arguments)

        return call
