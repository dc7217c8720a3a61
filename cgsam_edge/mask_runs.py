"""Runs of a mask along its columns: area, bounding box and COCO's RLE without a full-size mask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2
from cgsam_edge.rle import pack_counts, rle_counts, rle_size

if TYPE_CHECKING:
    from numpy.typing import NDArray


def odd_places(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places, ascending, that occur an odd number of times: two changes at one place cancel out."""
    found, counts = np.unique(places, return_counts=True)
    return np.asarray(found[counts % 2 == 1], np.int64)


@dataclass(frozen=True, eq=False)
class MaskRuns:
    """The places where a mask of height H and width W begins and ends, going down the columns.

    Attributes:
        edges: int64 (n,), positions at which the mask begins, ends, begins again and so on; ascending, an even number
            of them.
        size: (H, W).
    """

    edges: NDArray[np.int64] = field(repr=False)
    size: tuple[int, int]

    @classmethod
    def of(cls, strips: Iterable[NDArray[np.bool_]], size: tuple[int, int]) -> MaskRuns:
        """Read the runs of a mask (H, W) that is given as strips (H, w) from left to right."""
        place, before, found = 0, False, []
        for strip in strips:
            with NATIVE_CALL:
                columns = cv2.transpose(np.ascontiguousarray(strip).view(np.uint8))  # faster than numpy's order="F"
            flat = columns.ravel()
            if flat[0] != before:
                found.append(np.array([place], np.int64))
            found.append(np.flatnonzero(flat[1:] != flat[:-1]) + (place + 1))
            place, before = place + flat.size, bool(flat[-1])
        if before:
            found.append(np.array([place], np.int64))
        return cls(np.concatenate([np.zeros(0, np.int64), *found]), size)

    @classmethod
    def of_rle(cls, rle: dict[str, Any]) -> MaskRuns:
        """Read COCO's RLE, without a full-size mask.

        Raises:
            InputError: size or counts do not have COCO's form, or the counts do not add up to the size.
        """
        ends = np.cumsum(np.array(rle_counts(rle), np.int64))
        height, width = rle_size(rle)
        return cls(odd_places(ends if len(ends) % 2 == 0 else ends[:-1]), (height, width))

    def mask(self) -> NDArray[np.bool_]:
        """Return the mask, bool (H, W)."""
        height, width = self.size
        flips = np.zeros(height * width + 1, np.uint8)
        flips[self.edges] = 1
        columns = np.bitwise_xor.accumulate(flips, out=flips)[:-1].reshape(width, height)
        with NATIVE_CALL:
            return np.asarray(cv2.transpose(columns).view(np.bool_))

    def crop(self, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
        """Return a part of the mask, bool (h, w); the mask must have no pixel in columns beside it.

        Args:
            box: x, y, width and height of the part, in pixels.
        """
        (height, _), (x, y, w, h) = self.size, box
        columns = MaskRuns(self.edges - x * height, (height, w)).mask()
        return np.ascontiguousarray(columns[y : y + h])

    def holds(self, x: float, y: float) -> bool:
        """Return whether a point, in pixels, lies in the mask."""
        height, width = self.size
        if not (0 <= x < width and 0 <= y < height):
            return False
        return bool(np.searchsorted(self.edges, int(x) * height + int(y), "right") % 2)

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int((self.edges[1::2] - self.edges[::2]).sum())

    def rle(self) -> dict[str, Any]:
        """Return COCO's compressed RLE: ``{"size": [H, W], "counts": str}``."""
        height, width = self.size
        counts = np.diff(self.edges, prepend=0, append=height * width)
        last = counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts
        return {"size": [height, width], "counts": pack_counts(last.tolist())}

    def bounding_box(self) -> tuple[int, int, int, int] | None:
        """Return (x, y, width, height) of the mask in pixels, COCO's order, or None if it is empty."""
        if not len(self.edges):
            return None
        height = self.size[0]
        starts, ends = self.edges[::2], self.edges[1::2] - 1  # the first and the last pixel of each run
        left, right = int(starts[0]) // height, int(ends[-1]) // height
        if (starts // height != ends // height).any():  # a run across the bottom of a column touches top and bottom
            return left, 0, right - left + 1, height
        top, bottom = int((starts % height).min()), int((ends % height).max())
        return left, top, right - left + 1, bottom - top + 1
