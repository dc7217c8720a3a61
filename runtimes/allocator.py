"""Freed memory: kept for the next picture, and now and then given back to the system."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from functools import lru_cache

import numpy as np

RUNS = 1024
"""Runs of graphs after which memory is given back, about 250 images; it takes milliseconds."""

KEPT = 16 * 2**20
"""Bytes of the largest blocks that are kept; those of a picture of 1920×1080 pixels are smaller."""

_lock = threading.Lock()
_runs = 0


def count_run() -> None:
    """Count a run of a graph, and give back what was freed after each `RUNS` of them.

    glibc keeps freed blocks for each thread that calls an engine; with many callers their sum rises for hours.
    """
    global _runs  # noqa: PLW0603 — the allocator is the process's
    with _lock:
        _runs += 1
        due = _runs % RUNS == 0
    if due:
        give_back()


def give_back() -> None:
    """Give back now what was freed; nothing happens where the C library is not glibc."""
    if (trim := _trim()) is not None:
        trim(0)


@lru_cache(maxsize=1)
def keep_freed() -> None:
    """Let glibc keep freed blocks of up to `KEPT` bytes, and twice as much free memory at the end of its heap.

    By default it keeps less than what a picture of 1024×1024 pixels needs, and returns it after every second one; the
    system's 2800 fresh pages for the next then take 4 ms. glibc adapts to the size of what is freed, so one block is
    allocated and freed, none of whose pages is touched. Limits that the application or its environment set stay.
    """
    if _trim() is not None:
        np.empty(KEPT, np.uint8)


@lru_cache(maxsize=1)
def _trim() -> Callable[[int], int] | None:
    """Return glibc's `malloc_trim`; None where the C library is another."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
