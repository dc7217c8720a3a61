"""Where tiles lie in a picture, and how much each counts at each place."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.manifest import Geometry

    Float = NDArray[np.float32]

AUTO_TILE = "auto"
"""A tile has as many pixels as the model's square: the picture is seen at its own scale."""

OVERLAP = 0.5
"""Default share of a tile's side that the next tile covers again."""

MOST_OVERLAP = 0.9
"""More would take over a hundred tiles for each one's area."""

AUTO_RATIO = 1.25
"""With "auto", a picture whose longer side is at most this many tiles is taken as a whole."""

_FLOOR = 1e-3
"""Least weight of a place in a tile, so that the corners of a picture, which one tile alone covers, have some."""


@dataclass(frozen=True)
class Lattice:
    """The tiles of a picture: squares of one size, at the same columns in each row.

    All lengths are pixels of the picture. A tile's logits are cells of ``cell`` pixels, and cells of all tiles
    coincide. Tiles go beyond the right and lower edge where the picture is smaller, or no multiple of a cell.

    Attributes:
        size: width and height of the picture.
        side: side of a tile.
        cell: side of the square that one logit stands for.
        columns: left edges of the tiles, ascending, from 0.
        rows: upper edges, likewise.
    """

    size: tuple[int, int]
    side: int
    cell: int
    columns: tuple[int, ...]
    rows: tuple[int, ...]

    @classmethod
    def of(cls, size: tuple[int, int], geometry: Geometry, side: int, overlap: float, begin: int = 0) -> Lattice:
        """Lay tiles over a picture.

        Args:
            size: width and height of the picture.
            geometry: the model's sizes.
            side: see `tile_side`.
            overlap: see `check_overlap`.
            begin: pixels by which all tiles lie further left and up; those beyond an edge are moved inside.
        """
        cell = side // geometry.mask_size
        step = max(cell, round(side * (1 - overlap) / cell) * cell)
        columns, rows = (_edges(length, side, step, cell, begin) for length in size)
        return cls(size, side, cell, columns, rows)

    @property
    def count(self) -> int:
        """How many tiles there are."""
        return len(self.columns) * len(self.rows)

    @property
    def cells(self) -> tuple[int, int]:
        """Columns and rows of cells that cover the picture."""
        return -(-self.size[0] // self.cell), -(-self.size[1] // self.cell)


def check_overlap(overlap: object) -> float:
    """Return the share of a tile that the next one covers again; None means `OVERLAP`.

    Raises:
        InputError: it is not a number from 0 to `MOST_OVERLAP`.
    """
    if overlap is None:
        return OVERLAP
    number = isinstance(overlap, (int, float, np.number)) and not isinstance(overlap, bool)
    if not number or not 0 <= float(overlap) <= MOST_OVERLAP:  # type: ignore[arg-type]
        raise InputError(f"overlap must be a share of the tile, 0 to {MOST_OVERLAP}, got {overlap!r}.")
    return float(overlap)  # type: ignore[arg-type]


def tile_side(tile: object, geometry: Geometry) -> int:
    """Return a tile's side in the picture's pixels: a multiple of the logits' side, so that cells are whole pixels.

    Args:
        tile: `AUTO_TILE` for the model's own side, or a number of pixels, which is rounded up.
        geometry: the model's sizes.

    Raises:
        InputError: it is neither, or fewer pixels than the logits have.
    """
    if tile == AUTO_TILE:
        return geometry.image_size
    try:
        side = -1 if isinstance(tile, bool) else index(tile)  # type: ignore[arg-type]
    except TypeError:
        side = -1
    if side < geometry.mask_size:
        raise InputError(
            f"tile must be {AUTO_TILE!r} or a tile's side in pixels, {geometry.mask_size} or more, got {tile!r}."
        )
    return -(-side // geometry.mask_size) * geometry.mask_size


def is_whole(size: tuple[int, int], tile: object, side: int) -> bool:
    """Whether a picture is so small that tiles are of no use."""
    return max(size) <= (side * AUTO_RATIO if tile == AUTO_TILE else side)


def window(side: int) -> Float:
    """Return the weights of a tile along one axis, (side,): a squared sine, so that its edges hardly count."""
    return (np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 + _FLOOR).astype(np.float32)


def total_weight(edges: tuple[int, ...], weights: Float, cells: int) -> Float:
    """Return the sum of all tiles' weights along one axis, (cells,).

    Args:
        edges: where tiles begin, in cells.
        weights: from `window`.
        cells: of the picture along this axis.
    """
    total = np.zeros(max(cells, edges[-1] + len(weights)), np.float32)
    for edge in edges:
        total[edge : edge + len(weights)] += weights
    return total[:cells]


def _edges(length: int, side: int, step: int, cell: int, begin: int) -> tuple[int, ...]:
    """Return where tiles begin along one axis, in order; the last one reaches the end."""
    last = max(0, -(-(length - side) // cell) * cell)
    start = -(round(begin / cell) * cell) % step
    first = start - step if start else 0
    return tuple(sorted({min(max(edge, 0), last) for edge in range(first, last + step, step)}))
