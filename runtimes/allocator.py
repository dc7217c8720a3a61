"""When memory that was freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from functools import lru_cache

RUNS = 1024
"""Runs of graphs after which memory is given back, about 250 images; it takes milliseconds."""

KEPT_BYTES = 30 * 2**20
"""Largest block that is kept for the next picture once it is freed; glibc's own bound is 32 MiB."""

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
    """Have glibc keep freed memory for the next picture: mapping new pages for each takes milliseconds.

    Until a large block is freed, glibc returns large blocks at once, and the heap's end from twice their size on. Here
    it frees one that was never touched, as happens in any program that reads a photo of 7 megapixels. glibc's
    environment variables take precedence, and `give_back` returns all of it.
    """
    if _trim() is None:
        return
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    library.free(library.malloc(ctypes.c_size_t(KEPT_BYTES)))


@lru_cache(maxsize=1)
def _trim() -> Callable[[int], int] | None:
    """Return glibc's `malloc_trim`; None where the C library is another."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
