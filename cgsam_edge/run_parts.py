"""Connected parts of a mask, found from its runs: nothing of the picture's size is ever in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.mask_runs import MaskRuns, odd_places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ColumnRuns:
    """Runs of a mask of height H and width W, none longer than its column.

    Attributes:
        starts: int64 (n,), column * H + row of each run's first pixel, ascending.
        ends: int64 (n,), one past its last pixel.
        size: (H, W).
    """

    starts: Whole = field(repr=False)
    ends: Whole = field(repr=False)
    size: tuple[int, int]

    @classmethod
    def of(cls, runs: MaskRuns) -> ColumnRuns:
        """Split the runs of a mask where they go on in the next column."""
        height = runs.size[0]
        starts, ends = runs.edges[::2], runs.edges[1::2]
        first = starts // height
        count = (ends - 1) // height - first + 1
        whole = np.repeat(np.arange(len(starts)), count)
        column = first[whole] + np.arange(len(whole)) - np.repeat(np.cumsum(count) - count, count)
        return cls(
            np.maximum(starts[whole], column * height), np.minimum(ends[whole], (column + 1) * height), runs.size
        )

    @property
    def lengths(self) -> Whole:
        """Pixels of each run, int64 (n,)."""
        return self.ends - self.starts

    @property
    def columns(self) -> Whole:
        """The column of each run, int64 (n,)."""
        return self.starts // self.size[0]

    def chosen(self, which: NDArray[np.bool_]) -> MaskRuns:
        """Return the mask of some of the runs."""
        return MaskRuns(odd_places(np.concatenate([self.starts[which], self.ends[which]])), self.size)

    def parts(self, *, diagonal: bool) -> Whole:
        """Return the part that each run belongs to, int64 (n,), numbered from the left.

        Args:
            diagonal: whether pixels that touch at a corner belong together (8-connected), or only those that share a
                side (4-connected).
        """
        height = self.size[0]
        reach = int(diagonal)  # how far beyond its ends a run touches its neighbour
        column = self.columns + 1  # the neighbour on the right
        low = np.maximum(
            np.searchsorted(self.ends, self.starts + height + 1 - reach), np.searchsorted(self.starts, column * height)
        )
        high = np.minimum(
            np.searchsorted(self.starts, self.ends + height + reach),
            np.searchsorted(self.starts, (column + 1) * height),
        )
        count = np.maximum(high - low, 0)
        left = np.repeat(np.arange(len(count)), count)
        right = low[left] + np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count)
        return np.unique(_roots(left, right, len(count)), return_inverse=True)[1].astype(np.int64)


def _roots(left: Whole, right: Whole, count: int) -> Whole:
    """Return the smallest member of each member's group, given pairs that belong together."""
    root = np.arange(count)
    while True:
        one, other = root[left], root[right]
        if (one == other).all():
            return root
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while (root[root] != root).any():
            root = root[root]


def cleaned(runs: MaskRuns, least: int) -> MaskRuns:
    """Return a mask without parts and holes of fewer than `least` pixels: first such parts go, then holes are filled.

    Parts are 8-connected, and holes 4-connected; background that reaches the border of the picture is no hole. A filled
    hole may join parts.
    """
    if least <= 1 or not len(runs.edges):
        return runs
    found = ColumnRuns.of(runs)
    kept = found.chosen(~_small(found, least, diagonal=True))
    height, width = runs.size
    beside = ColumnRuns.of(MaskRuns(odd_places(np.append(kept.edges, [0, height * width])), runs.size))
    holes = beside.chosen(_small(beside, least, diagonal=False, inner=True))
    return MaskRuns(odd_places(np.concatenate([kept.edges, holes.edges])), runs.size)


def _small(runs: ColumnRuns, least: int, *, diagonal: bool, inner: bool = False) -> NDArray[np.bool_]:
    """Return which runs are of a part with fewer than `least` pixels; `inner`: one that does not meet the border."""
    parts = runs.parts(diagonal=diagonal)
    small = np.bincount(parts, runs.lengths) < least
    if inner:
        height, width = runs.size
        column = runs.columns
        at_border = (column == 0) | (column == width - 1) | (runs.starts % height == 0) | (runs.ends % height == 0)
        small[parts[at_border]] = False
    return np.asarray(small[parts])


def split_parts(runs: MaskRuns) -> list[MaskRuns]:
    """Return the 8-connected parts of a mask, the largest first, then from the left."""
    found = ColumnRuns.of(runs)
    if not len(found.starts):
        return []
    parts = found.parts(diagonal=True)
    by_part = np.argsort(parts, kind="stable")
    bounds = np.flatnonzero(np.diff(parts[by_part])) + 1
    groups = np.split(by_part, bounds)
    made = [
        MaskRuns(odd_places(np.concatenate([found.starts[group], found.ends[group]])), runs.size) for group in groups
    ]
    return sorted(made, key=lambda one: -one.area)
