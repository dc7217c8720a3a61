"""The form of one object: a ring where one ring can hold it, and else a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.datasets.picture import LabelledObject
    from cgsam_edge.polygons import Polygon

    Whole = NDArray[np.int64]


def single_ring(one: LabelledObject, tolerance: float) -> Whole | None:
    """Return the only outline of an object, int64 (n, 2), or None if it has holes or several outlines."""
    found = one.polygons(tolerance)
    if len(found) != 1 or found[0].holes:
        return None
    return found[0].exterior.astype(np.int64)


def bridged(polygons: Sequence[Polygon]) -> Whole:
    """Return polygons with holes as one ring, int64 (n, 2): rings are joined by bridges without width.

    A bridge goes from a corner to the nearest corner of the next ring, and returns the same way. Filled by the even-odd
    rule, the ring covers the same area as the polygons.
    """
    waiting = [ring.astype(np.int64) for one in polygons for ring in one.rings]
    whole = waiting.pop(0)
    while waiting:
        pairs = [_nearest(whole, ring) for ring in waiting]
        best = min(range(len(pairs)), key=lambda i: pairs[i][0])
        (_, here, there), ring = pairs[best], waiting.pop(best)
        turned = np.roll(ring, -there, axis=0)
        whole = np.concatenate([whole[: here + 1], turned, turned[:1], whole[here:]])
    return whole


def _nearest(ring: Whole, other: Whole) -> tuple[int, int, int]:
    """Return the least squared distance between corners of two rings, and their numbers."""
    best = min(
        ((int(far.min()), int(far.argmin()), j) for j, corner in enumerate(other) for far in [_distances(ring, corner)])
    )
    return best[0], best[1], best[2]


def _distances(ring: Whole, corner: Whole) -> Whole:
    return np.asarray(((ring - corner) ** 2).sum(axis=1))


def row_counts(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of a mask's runs along its rows, beginning with the zeros."""
    flat = mask.ravel()
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, flat.size)
    counts: list[int] = np.diff(ends, prepend=0).tolist()
    return [0, *counts] if flat[0] else counts
