"""Weights that are views of a mapped checkpoint: the system reads their pages when they are used."""

from __future__ import annotations

import ctypes
import gc
import mmap
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from cgsam_edge.runtimes.allocator import give_back

_PAGE_OUT = 21
"""MADV_PAGEOUT of Linux 5.4 and later; an older one refuses it, which changes nothing."""

_MAPPING = re.compile(r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) r-?\S* \S+ \S+ (?P<file>[1-9]\d*) ")


WORTH = 256 * 2**20
"""Bytes that are worth a garbage collection, which takes half a second in a process with PyTorch."""


def release_freed(size: int) -> None:
    """Collect garbage, and return freed memory to the system.

    A converter's program contains reference cycles, so Python keeps it until a collection, and the C library keeps the
    freed blocks of its weights: beside an engine they are as much memory again, or several times as much.

    Args:
        size: bytes that garbage may hold; below `WORTH` nothing is collected.
    """
    if size >= WORTH:
        gc.collect()
    give_back()


def release_memory(module: nn.Module) -> None:
    """Collect the garbage of work on a model, and release the pages of its weights in a mapped file.

    See `release_freed` and `release_pages`.
    """
    release_freed(sum(tensor.nbytes for tensor in module.state_dict().values()))
    release_pages(module)


def release_pages(module: nn.Module) -> None:
    """Take the pages of weights in a mapped file out of this process's memory until they are used again.

    While an engine runs, the reference's weights would be the larger part of the memory that an export takes. Weights
    that lie elsewhere, and other systems than Linux, stay as they are.

    Args:
        module: whose weights are released.
    """
    if sys.platform != "linux":
        return
    advise = ctypes.CDLL(None, use_errno=True).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    used = [(tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes) for tensor in module.state_dict().values()]
    for start, end in _file_mappings():
        inside = [(low, high) for low, high in used if start <= low and high <= end]
        if inside:
            low = min(low for low, _ in inside) // mmap.PAGESIZE * mmap.PAGESIZE
            advise(low, max(high for _, high in inside) - low, _PAGE_OUT)  # clean pages alone: nothing is lost


def _file_mappings() -> Iterator[tuple[int, int]]:
    """Yield the ranges of addresses at which files are mapped; the number of the file is 0 elsewhere."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        found = _MAPPING.match(line)
        if found:
            yield int(found["start"], 16), int(found["end"], 16)
