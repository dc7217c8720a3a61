"""The outline of a mask along the sides of its pixels, found from its runs.

A horizontal side lies above the first and below the last pixel of each run. Where sides of neighbouring columns do not
continue each other, the outline has a corner. Corners are in pairs along the rows, and in pairs along the columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.run_parts import ColumnRuns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ring:
    """A closed outline that meets itself nowhere.

    Attributes:
        corners: int64 (n, 2), x and y in pixels; pixel (x, y) covers x to x + 1 and y to y + 1.
        hole: whether it goes around a hole.
        part: number of the 4-connected part of the mask that it belongs to.
    """

    corners: Whole = field(repr=False)
    hole: bool
    part: int


@dataclass(frozen=True, eq=False)
class _Corners:
    """Corners, twice where two pixels of the mask touch at one alone.

    Attributes:
        x: int64 (n,).
        y: int64 (n,).
        begins: bool (n,), whether the mask is below the horizontal side that ends here.
        right: bool (n,), whether that side goes to the right from here.
        part: int64 (n,), 4-connected part that the pixel at that side belongs to.
    """

    x: Whole
    y: Whole
    begins: NDArray[np.bool_]
    right: NDArray[np.bool_]
    part: Whole


def rings(runs: ColumnRuns) -> list[Ring]:
    """Return all outlines of a mask: an outer one, and its holes, for each 4-connected part.

    Rings of one part touch each other in single points at most, so that they are valid polygons for maps.
    """
    corners = _corners(runs)
    along_row = _partners(np.lexsort((corners.right, corners.x, corners.y)))
    along_column = _partners(np.lexsort((corners.begins, corners.y, corners.x)))
    seen = np.zeros(len(corners.x), bool)
    found: list[Ring] = []
    for first in range(len(seen)):
        if not seen[first]:
            loop = _walk(first, along_row, along_column)
            seen[loop] = True
            found += [_ring(corners, np.array(part)) for part in _simple(corners, loop)]
    return found


def _corners(runs: ColumnRuns) -> _Corners:
    """Return the ends of horizontal sides that the next column does not continue."""
    height, column = runs.size[0], runs.columns
    part = runs.parts(diagonal=False)
    x = np.concatenate([column, column + 1, column, column + 1])
    top, bottom = runs.starts - column * height, runs.ends - column * height
    y = np.concatenate([top, top, bottom, bottom])
    n = len(column)
    begins, right = np.arange(4 * n) < 2 * n, np.tile(np.repeat([True, False], n), 2)
    _, at, count = np.unique(2 * (x * (height + 1) + y) + begins, return_index=True, return_counts=True)
    alone = at[count == 1]
    return _Corners(x[alone], y[alone], begins[alone], right[alone], np.tile(part, 4)[alone])


def _partners(order: Whole) -> list[int]:
    """Return the other end of each corner's side, where corners in `order` are in pairs."""
    partner = np.empty(len(order), np.int64)
    partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    return list(partner.tolist())


def _walk(first: int, along_row: list[int], along_column: list[int]) -> list[int]:
    loop, at = [], first
    while True:
        loop += [at, along_row[at]]
        at = along_column[along_row[at]]
        if at == first:
            return loop


def _simple(corners: _Corners, loop: list[int]) -> list[list[int]]:
    """Split a loop where it meets itself."""
    places = list(zip(corners.x[loop].tolist(), corners.y[loop].tolist(), strict=True))
    if len(set(places)) == len(places):
        return [loop]
    found: list[list[int]] = []
    path: list[tuple[int, tuple[int, int]]] = []
    last: dict[tuple[int, int], int] = {}
    for corner, place in zip(loop, places, strict=True):
        if place in last:
            start = last[place]
            found.append([one for one, _ in path[start:]])
            for _, gone in path[start + 1 :]:
                del last[gone]
            del path[start + 1 :]
        else:
            last[place] = len(path)
            path.append((corner, place))
    return [*found, [one for one, _ in path]]


def _ring(corners: _Corners, loop: Whole) -> Ring:
    """Return a ring; the mask lies below and right of its first corner in reading order, unless it is a hole."""
    x, y = corners.x[loop], corners.y[loop]
    first = np.lexsort((x, y))[0]
    side = loop[first]
    if not corners.right[side]:  # two corners share this place
        side = np.flatnonzero((corners.x == x[first]) & (corners.y == y[first]) & corners.right)[0]
    return Ring(np.stack([x, y], axis=1), not corners.begins[side], int(corners.part[loop[0]]))
