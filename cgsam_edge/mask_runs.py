"""Runs of a mask along its columns: area, bounding box and COCO's RLE without a full-size mask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.opencv import cv2
from cgsam_edge.rle import pack_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
            columns = cv2.transpose(np.ascontiguousarray(strip).view(np.uint8))  # much faster than numpy's order="F"
            flat = columns.ravel()
            if flat[0] != before:
                found.append(np.array([place], np.int64))
            found.append(np.flatnonzero(flat[1:] != flat[:-1]) + (place + 1))
            place, before = place + flat.size, bool(flat[-1])
        if before:
            found.append(np.array([place], np.int64))
        return cls(np.concatenate([np.zeros(0, np.int64), *found]), size)

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
