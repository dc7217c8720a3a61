"""Whether the sides of polygons cross, by exact arithmetic on whole pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Whole = NDArray[np.int64]

_PAIRS = 2**20
"""Most pairs of sides that are compared at once."""


def cross(rings: Sequence[NDArray[np.floating]]) -> bool:
    """Return whether sides of rings (n, 2) with whole coordinates meet anywhere but at the corner that they share."""
    start = np.concatenate([np.asarray(ring, np.int64) for ring in rings])
    end = np.concatenate([np.roll(np.asarray(ring, np.int64), -1, axis=0) for ring in rings])
    left, right = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    order = np.argsort(left, kind="stable")
    start, end, left, right = start[order], end[order], left[order], right[order]
    count = np.searchsorted(left, right, "right") - np.arange(len(left)) - 1  # those after it that begin before its end
    bounds = np.searchsorted(np.cumsum(count), np.arange(_PAIRS, count.sum() + _PAIRS, _PAIRS), "right")
    first = 0
    for last in [*bounds.tolist(), len(count)]:
        one = np.repeat(np.arange(first, last), count[first:last])
        block = np.cumsum(count[first:last]) - count[first:last]
        other = one + 1 + np.arange(len(one)) - np.repeat(block, count[first:last])
        if _meet(start[one], end[one], start[other], end[other]).any():
            return True
        first = last
    return False


def _meet(a: Whole, b: Whole, c: Whole, d: Whole) -> NDArray[np.bool_]:
    """Return whether sides from a to b and from c to d meet; neighbours in a ring may share their corner."""
    follows = (b == c).all(1) | (a == d).all(1)
    apart = _side(a, b, c) * _side(a, b, d) > 0
    apart |= _side(c, d, a) * _side(c, d, b) > 0
    low, high = np.minimum(a, b), np.maximum(a, b)
    apart |= ((np.maximum(c, d) < low) | (np.minimum(c, d) > high)).any(1)
    straight = _side(a, b, c) | _side(a, b, d)
    back = ((b - a) * (d - c)).sum(1) < 0
    return np.asarray(np.where(follows, (straight == 0) & back, ~apart))


def _side(a: Whole, b: Whole, point: Whole) -> Whole:
    """Return -1, 0 or 1: the side of the line from a to b on which a point lies."""
    (dx, dy), (px, py) = (b - a).T, (point - a).T
    return np.asarray(np.sign(dx * py - dy * px))
