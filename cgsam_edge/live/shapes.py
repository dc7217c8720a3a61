"""Objects on a coarse grid: small masks that can be moved and compared in microseconds, whatever the picture's size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.agreement import Overlap
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.objects import ObjectMask

GRID = 512
"""Most cells along a picture's longer side; a smaller picture has a cell for each pixel."""


@dataclass(frozen=True, eq=False)
class Shape:
    """A mask on the grid of its picture.

    Attributes:
        left, top: the cell of its upper left corner; it may lie outside the picture.
        cells: bool (h, w), the mask within its box.
        area: number of cells that are True.
        middle: float64 (2,), the mean place of those cells, as x and y.
    """

    left: int
    top: int
    cells: NDArray[np.bool_] = field(repr=False)
    area: int
    middle: NDArray[np.float64]

    @classmethod
    def of(cls, one: ObjectMask) -> Shape:
        """Return an object's shape; a cell belongs to it if one of its pixels does."""
        step = cell_size(one.image_size)
        (x, y, _, _), cells = one.box, one.box_mask()
        if step > 1:
            cells = _coarse(cells, x % step, y % step, step)
        rows, columns = np.nonzero(cells)
        left, top = x // step, y // step
        return cls(left, top, cells, len(rows), np.array([left + columns.mean(), top + rows.mean()]))

    @property
    def size(self) -> float:
        """The side of a square with as many cells."""
        return float(np.sqrt(self.area))

    def moved(self, by: NDArray[np.float64]) -> Shape:
        """Return it moved by x and y, in cells, rounded to whole ones."""
        whole = np.rint(by).astype(int)
        right, down = whole.tolist()
        return Shape(self.left + right, self.top + down, self.cells, self.area, self.middle + whole)

    def iou(self, other: Shape) -> float:
        """Return the intersection over union with another shape of the same grid."""
        shared = self._shared(other)
        return Overlap(shared, self.area + other.area - shared).iou

    def _shared(self, other: Shape) -> int:
        left, top = max(self.left, other.left), max(self.top, other.top)
        mine, others = (one.cells[top - one.top :, left - one.left :] for one in (self, other))
        height, width = min(len(mine), len(others)), min(mine.shape[1], others.shape[1])
        return int(np.count_nonzero(mine[:height, :width] & others[:height, :width]))


def cell_size(image_size: tuple[int, int]) -> int:
    """Return the side of a cell, in pixels of a picture (W, H)."""
    return max(1, -(-max(image_size) // GRID))


def _coarse(cells: NDArray[np.bool_], x: int, y: int, step: int) -> NDArray[np.bool_]:
    """Return a mask that begins x and y pixels into a cell on the coarse grid."""
    height, width = (-(-(side + first) // step) * step for side, first in zip(cells.shape, (y, x), strict=True))
    whole = np.zeros((height, width), np.uint8)
    whole[y : y + cells.shape[0], x : x + cells.shape[1]] = cells
    with NATIVE_CALL:
        small = cv2.resize(whole * 255, (width // step, height // step), interpolation=cv2.INTER_AREA)
    return np.asarray(small > 0)
