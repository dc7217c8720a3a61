"""Bilinear interpolation of logits at chosen places, an axis at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Places:
    """Places along an axis of cells: each lies between the centres of two cells.

    Attributes:
        low: the first cell of each place, intp (n,).
        high: the second one.
        share: how far each place is on the way from the first to the second, float32 (n,).
    """

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    share: Float

    @classmethod
    def of(cls, length: int, cell: float, cells: int, begin: float = 0.0) -> Places:
        """Find the cells of ``length`` places, a cell being ``cell`` places long.

        Args:
            length: how many places.
            cell: places in a cell.
            cells: of the axis.
            begin: places between the edge of the first cell and that of the first place.
        """
        return cls.at((np.arange(length) + (0.5 + begin)) / cell, cells)

    @classmethod
    def at(cls, along: NDArray[np.floating[Any]], cells: int) -> Places:
        """Find the cells of places that are given in cells from the edge of the first one, (n,)."""
        centred = np.clip(along - 0.5, 0, cells - 1)
        low = np.floor(centred).astype(np.intp)
        return cls(low, np.minimum(low + 1, cells - 1), (centred - low).astype(np.float32))

    def part(self, first: int, last: int, at: int) -> Places:
        """Return the places from ``first`` up to ``last``, of cells that are counted from cell ``at``."""
        return Places(self.low[first:last] - at, self.high[first:last] - at, self.share[first:last])


def interpolated(values: Float, places: Places) -> Float:
    """Interpolate rows: values (cells, n) at places, float32 (places, n)."""
    found: Float = values[places.low]
    found += (values[places.high] - found) * places.share[:, None]
    return found
