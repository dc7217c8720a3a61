"""The form of one object: a ring where one ring can hold it, and else a mask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
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


_MOST_PAIRS = 2**17
"""Most pairs of corners that are compared for one bridge; of larger rings, only the first corner seeks a partner."""


def bridged(polygons: Sequence[Polygon]) -> Whole:
    """Return polygons with holes as one ring, int64 (n, 2): rings are joined by bridges without width.

    A bridge goes from a ring to the nearest corner of those joined before it, and returns the same way. Filled by the
    even-odd rule, the ring covers the same area as the polygons.
    """
    rings = [ring.astype(np.int64) for one in polygons for ring in one.rings]
    order = [0, *sorted(range(1, len(rings)), key=lambda i: rings[i].min(axis=0).tolist())]
    corners = np.concatenate([rings[i] for i in order])
    starts = np.cumsum([0, *(len(rings[i]) for i in order)])
    first, attached = [0] * len(order), defaultdict(list)
    for place in range(1, len(order)):
        joined, ring = corners[: starts[place]], corners[starts[place] : starts[place + 1]]
        here, first[place] = _nearest(joined, ring)
        attached[here].append(place)
    return _joined(corners, starts, first, attached)


def _nearest(joined: Whole, ring: Whole) -> tuple[int, int]:
    """Return the numbers of two near corners, one of each."""
    some = ring if len(joined) * len(ring) <= _MOST_PAIRS else ring[:1]
    squared = ((joined[:, None] - some) ** 2).sum(axis=2)
    here, there = np.unravel_index(squared.argmin(), squared.shape)
    return int(here), int(there)


def _joined(corners: Whole, starts: Whole, first: Sequence[int], attached: Mapping[int, Sequence[int]]) -> Whole:
    """Return all rings as one, the last first: a ring comes after the one that it is joined to."""
    paths: dict[int, list[int]] = {}
    for place in reversed(range(len(first))):
        begin, end = int(starts[place]), int(starts[place + 1])
        turned = [*range(begin + first[place], end), *range(begin, begin + first[place])]
        path: list[int] = []
        for corner in turned:
            path.append(corner)
            for other in attached.get(corner, ()):
                path += [*paths.pop(other), corner]
        paths[place] = [*path, turned[0]] if place else path
    return np.asarray(corners[paths[0]])


def row_counts(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of a mask's runs along its rows, beginning with the zeros."""
    flat = mask.ravel()
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, flat.size)
    counts: list[int] = np.diff(ends, prepend=0).tolist()
    return [0, *counts] if flat[0] else counts
