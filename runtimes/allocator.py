"""Giving memory that engines freed back to the system."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from functools import lru_cache

RUNS = 1024
"""Runs of graphs after which memory is given back, about 250 images; it takes milliseconds."""

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
def _trim() -> Callable[[int], int] | None:
    """Return glibc's `malloc_trim`; None where the C library is another."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
