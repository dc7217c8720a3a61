"""Sums of products of a layer's input channels with each other, those of wide layers in files.

Of ViT-H they are 6 GB, as much as all of its weights. In a file the system can take them out of memory.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import torch
from torch import Tensor

_LARGE = 16_000_000
"""Bytes of a sum that goes to a file."""


class Products:
    """The sum over rows of inputs of the products of their channels with each other.

    Args:
        channels: how many an input has.
        file: for a large sum, which must not exist; None, or a full disk, leaves it in memory.
    """

    def __init__(self, channels: int, file: Path | None = None) -> None:
        self._held = _mapped(file, 4 * channels**2) if file else None
        if self._held is None:
            self._sum = torch.zeros(channels, channels)
        else:
            self._sum = torch.frombuffer(self._held, dtype=torch.float32).view(channels, channels)
        self._scale: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """Take in rows of inputs (rows, channels)."""
        with torch.autocast("cpu", enabled=False):  # products in BF16 could not be inverted
            self._sum += rows.T @ rows
        self._release()

    def divided(self, scale: Tensor) -> Products:
        """Return the sum for inputs divided by a scale of each channel (channels,); it shares this one's memory."""
        made = Products.__new__(Products)
        made._held, made._sum = self._held, self._sum  # noqa: SLF001 — its own class
        made._scale = scale if self._scale is None else self._scale * scale  # noqa: SLF001 — its own class
        return made

    @property
    def matrix(self) -> Tensor:
        """A copy of the sum, float32 (channels, channels)."""
        made = self._sum.clone() if self._scale is None else self._sum / torch.outer(self._scale, self._scale)
        self._release()
        return made

    def _release(self) -> None:
        """Take the file's pages out of this process's memory; the system keeps what is not yet written."""
        if self._held is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._held.madvise(mmap.MADV_DONTNEED)


def _mapped(path: Path, size: int) -> mmap.mmap | None:
    """Return a file of zeros, mapped; None where it is small, or its space cannot be reserved."""
    if size < _LARGE or not hasattr(os, "posix_fallocate"):
        return None
    try:
        with path.open("xb+") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a page that a full disk has no place for would end the process
            return mmap.mmap(file.fileno(), size)
    except OSError:
        path.unlink(missing_ok=True)
        return None
