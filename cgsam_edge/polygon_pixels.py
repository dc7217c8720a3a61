"""Polygons to pixels by the rule of ``rleFrPoly`` in pycocotools' ``maskApi.c``, without the need for a compiler.

The outline is walked in steps of a fifth of a pixel. A column of pixels is crossed where the walk passes its centre,
and the pixels between two crossings are inside. ``tests/quality/test_polygons.py`` compares every bit with pycocotools.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Float = NDArray[np.float64]
    Whole = NDArray[np.int64]

_SCALE = 5
_MAX_STEPS = 20_000_000
"""Most steps of one outline: 4 million pixels, far beyond any drawn by hand."""


def polygon_mask(parts: Iterable[Float], width: int, height: int) -> Mask:
    """Return the pixels (height, width) that any of the polygons covers.

    Args:
        parts: corners (N, 2) as x, y in pixels; the last is joined to the first, and parts outside the image are cut
            off.
        width: of the image.
        height: of the image.

    Raises:
        InputError: a corner is not finite, or an outline is longer than 4 million pixels.
    """
    columns = np.zeros((width, height), bool)  # COCO's order is column by column
    for part in parts:
        _fill(columns, part)
    return np.ascontiguousarray(columns.T)


def polygon_edges(corners: Float, width: int, height: int) -> Whole:
    """Return where a polygon begins and ends down the columns, as `cgsam_edge.mask_runs.MaskRuns.edges` has it.

    The polygons of several rings are combined by the even-odd rule with `cgsam_edge.mask_runs.odd_places`.

    Args:
        corners: corners (N, 2) as x, y in pixels.
        width: of the image.
        height: of the image.

    Raises:
        InputError: as in `polygon_mask`.
    """
    return _crossings(*_outline(corners), width, height)


def _fill(columns: Mask, corners: Float) -> None:
    """Add one polygon to a mask that is stored by columns (W, H)."""
    width, height = columns.shape
    crossings = _crossings(*_outline(corners), width, height)
    if not crossings.size:
        return
    first, last = crossings.min() // height, (crossings.max() - 1) // height
    flips = np.zeros((last - first + 1) * height + 1, np.uint8)
    places, counts = np.unique(crossings - first * height, return_counts=True)
    flips[places[counts % 2 == 1]] = 1  # two crossings at the same place cancel out
    inside = np.bitwise_xor.accumulate(flips)[:-1].astype(bool)
    columns[first : last + 1] |= inside.reshape(-1, height)


def _outline(corners: Float) -> tuple[Whole, Whole]:
    """Return the outline's points x, y, closed, a fifth of a pixel apart."""
    scaled = np.trunc(_SCALE * corners + 0.5)
    closed = np.concatenate([scaled, scaled[:1]])
    steps = np.abs(np.diff(closed, axis=0)).max(axis=1) + 1
    if not steps.sum() <= _MAX_STEPS:  # NaN too
        raise InputError("a polygon's outline is not finite, or longer than 4 million pixels.")
    count = steps.astype(np.int64)
    edge = np.repeat(np.arange(len(count)), count)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    points = closed.astype(np.int64)
    return _walk(points[:-1][edge], points[1:][edge], step)


def _walk(start: Whole, end: Whole, step: Whole) -> tuple[Whole, Whole]:
    """Return the point of each edge (start, end: (N, 2)) after some steps along its longer axis.

    An edge is always walked from its smaller end, so that two polygons that share it agree on its pixels.
    """
    length = np.abs(end - start)
    wide = length[:, 0] >= length[:, 1]
    along = np.where(wide, end[:, 0] - start[:, 0], end[:, 1] - start[:, 1])
    flip = along < 0
    near, far = np.where(flip[:, None], end, start), np.where(flip[:, None], start, end)
    longest = np.maximum(length.max(axis=1), 1)
    slope = np.where(wide, far[:, 1] - near[:, 1], far[:, 0] - near[:, 0]) / longest
    t = np.where(flip, length.max(axis=1) - step, step)
    across = np.trunc(np.where(wide, near[:, 1], near[:, 0]) + slope * t + 0.5).astype(np.int64)
    return np.where(wide, near[:, 0] + t, across), np.where(wide, across, near[:, 1] + t)


def _crossings(x: Whole, y: Whole, width: int, height: int) -> Whole:
    """Return where the outline passes the centre of a column, as column * height + row."""
    moved = np.flatnonzero(np.diff(x))
    before, after = x[moved], x[moved + 1]
    column = (np.where(after < before, after, after - 1) + 0.5) / _SCALE - 0.5
    row = (np.minimum(y[moved], y[moved + 1]) + 0.5) / _SCALE - 0.5
    hit = (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    rows = np.ceil(np.clip(row[hit], 0, height))
    return np.asarray(column[hit] * height + rows, np.int64)
