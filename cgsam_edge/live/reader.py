"""Threads that read cameras. They end before Python does: one that is within PyAV then may crash it.

PyAV's check of the time, ten times a second, needs Python, and nothing but its timeouts ends a call that hangs.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

_READERS: WeakKeyDictionary[threading.Thread, threading.Event] = WeakKeyDictionary()
_LONGEST = 6.0
"""Seconds that the end of the program waits for all of them: more than the usual timeouts of one that hangs.

A camera with a longer timeout is left within PyAV after that, which may crash the ending program.
"""


def start_reader(read: Callable[[], None], closed: threading.Event) -> None:
    """Call a function in a thread; the program's end stops it, and waits for it some seconds at most.

    Args:
        read: ends soon after ``closed`` is set, or after its timeouts where it waits for the network.
        closed: set at the program's end at the latest.
    """
    thread = threading.Thread(target=read, name="cgsam-camera", daemon=True)
    _READERS[thread] = closed
    thread.start()


@atexit.register
def _stop_readers() -> None:
    for closed in list(_READERS.values()):
        closed.set()
    until = time.monotonic() + _LONGEST
    for thread in list(_READERS):
        thread.join(max(0.0, until - time.monotonic()))
