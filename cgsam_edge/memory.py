"""Returns the memory of big arrays to the system at once."""

from __future__ import annotations

import ctypes
import sys

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # glibc's numbers of its options
_BIG = 2**20
_ARENAS = 2


def return_big_blocks() -> bool:
    """Make glibc return freed blocks of a megabyte or more to the system; return whether it will.

    By default glibc learns from the first photo that such blocks are common, and keeps them for the next: eight photos
    of 96 megapixels took 2.2 GB, where one took 1.4 GB. The setting holds for the whole process: commands make it, and
    `Segmenter` does for apps that ask for ``save_memory``.
    """
    return _set(_MMAP_THRESHOLD, _BIG)


def share_arenas() -> bool:
    """Make threads that start from now on share two of glibc's arenas; return whether they will.

    By default each thread takes one of up to eight a core, and each arena keeps its own freed blocks: the memory of
    a service with many threads grows for a long time, although what is in use stands still. This also holds for the
    whole process, of an app that asks for ``save_memory``.
    """
    return _set(_ARENA_MAX, _ARENAS)


def _set(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(option, value))
    except (AttributeError, OSError):  # another C library
        return False
