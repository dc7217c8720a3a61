"""Logits of a picture that was segmented in tiles: one value a cell, kept small, at the picture's size on demand."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.interpolation import Places, interpolated
from cgsam_edge.presence import LogitCounts
from cgsam_edge.strips import strip_edges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

STEPS = 128
"""Logits are kept in steps of 1/128, up to 255 either way: a mask's edge moves by thousandths of a pixel."""

_LEVEL = 1
"""zlib's fastest level; neighbours differ little, so their differences are small numbers."""


class LogitCanvas:
    """Blended logits of one concept in a picture of width W and height H, in bands of columns, compressed.

    Args:
        size: (W, H).
        cell: side, in pixels, of the square that one logit stands for.

    Attributes:
        size: as given.
        cell: as given.
        cells: columns and rows of logits.
        counts: what presence is judged by, of all logits appended so far.
    """

    def __init__(self, size: tuple[int, int], cell: int) -> None:
        self.size, self.cell = size, cell
        self.cells = -(-size[0] // cell), -(-size[1] // cell)
        self.counts = LogitCounts()
        self._edges = [0]
        self._bands: list[bytes] = []

    def append(self, columns: Float) -> None:
        """Add the next columns of logits, (rows, n), from left to right."""
        edge = self._edges[-1] + columns.shape[1]
        if columns.shape[0] != self.cells[1] or edge > self.cells[0]:
            raise ValueError(
                f"expected columns of {self.cells[1]} logits, {self.cells[0]} in all, got {columns.shape}."
            )
        steps = np.rint(np.clip(columns * STEPS, -32767, 32767)).astype(np.int16)
        self._bands.append(zlib.compress(np.diff(steps, axis=0, prepend=np.int16(0)).tobytes(), _LEVEL))
        self._edges.append(edge)
        self.counts += LogitCounts.of(_logits(steps))

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(map(len, self._bands))

    def bands(self) -> Iterator[tuple[slice, Float]]:
        """Yield the logits from left to right: columns of cells, and their logits (rows, n)."""
        for i, (left, right) in enumerate(pairwise(self._edges)):
            yield slice(left, right), self._band(i)

    def strips(self) -> Iterator[tuple[slice, Float]]:
        """Yield the logits at the picture's size from left to right: columns, and their logits (H, w).

        They are interpolated bilinearly, pixel centres aligned, as those of an image without tiles are.
        """
        rows = Places.of(self.size[1], self.cell, self.cells[1])
        for columns, wide in self._wide_strips():
            yield columns, interpolated(wide, rows)

    def mask_strips(self) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
        """Yield where `strips` are above 0, bool (H, w); rows above and below all such logits are not computed."""
        rows, height = Places.of(self.size[1], self.cell, self.cells[1]), self.size[1]
        for columns, wide in self._wide_strips():
            mask = np.zeros((height, wide.shape[1]), bool)
            inside = np.flatnonzero((wide > 0).any(axis=1))
            if inside.size:
                first, last = max(0, (inside[0] - 1) * self.cell), min(height, (inside[-1] + 2) * self.cell)
                mask[first:last] = interpolated(wide, rows.part(first, last, 0)) > 0
            yield columns, mask

    def _wide_strips(self) -> Iterator[tuple[slice, Float]]:
        """Yield the logits at the picture's width, but not yet at its height: columns, and (rows of cells, w)."""
        columns = Places.of(self.size[0], self.cell, self.cells[0])
        held, at, following = self._band(0), 0, 1
        for left, right in pairwise(strip_edges(*self.size)):
            low, high = int(columns.low[left]), int(columns.high[right - 1])
            while self._edges[following] <= high:
                held, at = np.concatenate([held[:, low - at :], self._band(following)], axis=1), low
                following += 1
            yield slice(left, right), interpolated(held.T, columns.part(left, right, at)).T

    def reduced(self, width: int, height: int) -> Float:
        """Return the logits averaged over an even grid, float32 (height, width)."""
        down, across = _areas(self.cells[1], height), _areas(self.cells[0], width)
        total = np.zeros((height, width), np.float32)
        for columns, band in self.bands():
            part = slice(columns.start * width // self.cells[0], -(-columns.stop * width // self.cells[0]))
            total[:, part] += (down @ band) @ across[part, columns].T
        return total

    def _band(self, i: int) -> Float:
        steps = np.frombuffer(zlib.decompress(self._bands[i]), np.int16).reshape(self.cells[1], -1)
        return _logits(np.cumsum(steps, axis=0, dtype=np.int16))


def _logits(steps: NDArray[np.int16]) -> Float:
    logits: Float = steps.astype(np.float32)
    logits /= STEPS
    return logits


def _areas(cells: int, parts: int) -> Float:
    """Return the share of each of ``parts`` equal parts of an axis that each cell covers, (parts, cells)."""
    edges = np.arange(parts + 1)[:, None] * (cells / parts)
    covered = np.diff(np.clip(edges - np.arange(cells)[None], 0, 1), axis=0)
    return np.asarray(covered * (parts / cells), np.float32)
