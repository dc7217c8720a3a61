"""Blending the logits of overlapping tiles into one picture's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.interpolation import Places, interpolated
from cgsam_edge.tiling.canvas import LogitCanvas
from cgsam_edge.tiling.lattice import Lattice, total_weight, window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]


class Blender:
    """Adds up the logits of tiles, column by column, and passes on the columns that no further tile covers.

    Args:
        lattice: the tiles.
        whole: for each concept the logits of the picture as a whole, (m, m).

    Attributes:
        whole: as given.
        canvases: the blended logits by concept.
        computed: how many tiles were decoded, by concept.
    """

    def __init__(self, lattice: Lattice, whole: Mapping[int, Float]) -> None:
        self.whole = whole
        self.canvases = {index: LogitCanvas(lattice.size, lattice.cell) for index in whole}
        self.computed = dict.fromkeys(whole, 0)
        self._lattice, self._column = lattice, 0
        self._side = lattice.side // lattice.cell
        self._columns, self._rows = (
            tuple(at // lattice.cell for at in line) for line in (lattice.columns, lattice.rows)
        )
        self._weights = window(self._side)
        self._across = total_weight(self._columns, self._weights, lattice.cells[0])
        self._down = total_weight(self._rows, self._weights, lattice.cells[1])[:, None]
        height = max(lattice.cells[1], self._rows[-1] + self._side)
        self._sums = {index: np.zeros((height, self._side), np.float32) for index in whole}
        self._ious = dict.fromkeys(whole, (0.0, 0))

    def add(self, x: int, y: int, decoded: Mapping[int, tuple[Float, float]]) -> None:
        """Add a tile of the current column of tiles.

        Args:
            x: its left edge.
            y: its upper edge.
            decoded: logits (m, m) and predicted IoU of the concepts that were decoded; for the others, the logits of
                the picture as a whole are added.
        """
        row = y // self._lattice.cell
        weights = np.outer(self._weights, self._weights)
        for index, sums in self._sums.items():
            if index in decoded:
                logits, iou = decoded[index]
                inside = int((logits > 0).sum())
                total, count = self._ious[index]
                self._ious[index] = total + iou * inside, count + inside
                self.computed[index] += 1
            else:
                logits = self._coarse(index, x, y)
            sums[row : row + self._side] += logits * weights

    def next_column(self) -> None:
        """Go on to the next column of tiles."""
        left = self._columns[self._column]
        self._column += 1
        right = self._columns[self._column] if self._column < len(self._columns) else self._lattice.cells[0]
        rows, count = self._lattice.cells[1], right - left
        weight = self._down * self._across[left:right]
        for index, sums in self._sums.items():
            self.canvases[index].append(sums[:rows, :count] / weight)
            sums[:, : self._side - count] = sums[:, count:].copy()
            sums[:, self._side - count :] = 0

    def score(self, index: int, otherwise: float) -> float:
        """Return the mean predicted IoU of a concept's tiles, weighted by mask pixels; without any, ``otherwise``."""
        total, count = self._ious[index]
        return total / count if count else otherwise

    def _coarse(self, index: int, x: int, y: int) -> Float:
        """Return the logits of the picture as a whole at the cells of a tile."""
        whole, cell = self.whole[index], self._lattice.cell
        rows, columns = (
            Places.of(self._side, length / len(whole) / cell, len(whole), at // cell)
            for length, at in zip(reversed(self._lattice.size), (y, x), strict=True)
        )
        found: Float = interpolated(interpolated(whole, rows).T, columns).T
        return found
