"""Whether the sides of polygons cross, by exact arithmetic on whole pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Whole = NDArray[np.int64]

_PAIRS = 2**20
"""Most pairs of sides that are compared at once."""


def meeting(rings: Sequence[NDArray[np.floating]]) -> set[int]:
    """Return the numbers of rings (n, 2), with whole coordinates, whose sides meet others.

    Sides that follow each other in a ring may share their corner.
    """
    start = np.concatenate([np.asarray(ring, np.int64) for ring in rings])
    end = np.concatenate([np.roll(np.asarray(ring, np.int64), -1, axis=0) for ring in rings])
    owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    left, right = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    order = np.argsort(left, kind="stable")
    start, end, owner = start[order], end[order], owner[order]
    found: set[int] = set()
    for one, other in _near(left[order], right[order]):
        met = _meet(start[one], end[one], start[other], end[other])
        found.update(owner[one[met]].tolist(), owner[other[met]].tolist())
    return found


def _near(left: Whole, right: Whole) -> Iterator[tuple[Whole, Whole]]:
    """Yield pairs of sides, ordered by their left ends, that overlap from left to right; some at once."""
    count = np.searchsorted(left, right, "right") - np.arange(len(left)) - 1
    ends = np.cumsum(count)
    cuts = np.searchsorted(ends, np.arange(_PAIRS, int(ends[-1]) + 1, _PAIRS), "right")
    for first, last in pairwise(np.unique([0, *cuts, len(count)]).tolist()):
        here = count[first:last]
        one = np.repeat(np.arange(first, last), here)
        yield one, one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(here) - here, here)


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
