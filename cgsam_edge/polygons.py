"""Polygons of a mask: outer outlines with their holes, simplified to a tolerance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.mask_runs import MaskRuns, odd_places
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2
from cgsam_edge.outlines import Ring, rings
from cgsam_edge.polygon_pixels import polygon_edges
from cgsam_edge.run_parts import ColumnRuns
from cgsam_edge.segments import meeting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Corners = NDArray[np.float32]

TOLERANCE = 1.0
"""Most distance, in pixels, between a mask's outline and its polygon."""

MIN_ROUND_TRIP = 0.98
"""Least mask IoU between a mask and the pixels of its polygons; a smaller tolerance is taken where it is missed."""

_FINEST = 0.5
"""Below this tolerance, only corners on a straight line can be left out, which the exact outline does too."""


@dataclass(frozen=True, eq=False)
class Polygon:
    """One outline with its holes, in pixels: pixel (x, y) covers x to x + 1 and y to y + 1.

    No ring repeats its first corner at the end. Rings do not cross themselves or each other.

    Attributes:
        exterior: float32 (n, 2), corners as x, y, clockwise on the screen, where y points down.
        holes: float32 (n, 2) each, counterclockwise on the screen.
    """

    exterior: Corners = field(repr=False)
    holes: tuple[Corners, ...] = field(default=(), repr=False)

    @property
    def rings(self) -> tuple[Corners, ...]:
        """The outline and the holes."""
        return (self.exterior, *self.holes)

    @property
    def area(self) -> float:
        """Area in square pixels, without the holes."""
        return float(sum(signed_area(ring) for ring in self.rings))


def signed_area(ring: NDArray[Any]) -> float:
    """Return the area of a ring (n, 2), above 0 if it is clockwise where y points down."""
    x, y = np.asarray(ring, np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def mask_polygons(runs: MaskRuns, tolerance: float = TOLERANCE, *, min_iou: float = MIN_ROUND_TRIP) -> list[Polygon]:
    """Return the polygons of a mask, one for each 4-connected part, the largest first.

    Corners are left out as far as the outline moves by `tolerance` at most (Douglas-Peucker). If the polygons then
    cover the mask at a mask IoU below `min_iou`, by the rule of pycocotools, the tolerance is halved; where rings
    cross, it is halved for these. Below half a pixel, rings are the exact outline along the sides of pixels.

    Args:
        runs: the mask.
        tolerance: in pixels; 0 for the exact outline.
        min_iou: least mask IoU, 0 to 1; with 0, only crossings make the tolerance smaller.

    Raises:
        InputError: the tolerance is negative, or an argument is not finite.
    """
    if not 0 <= tolerance < np.inf or not 0 <= min_iou <= 1:
        raise InputError(f"expected a tolerance of 0 pixels or more and min_iou 0 to 1, got {tolerance} and {min_iou}.")
    found = rings(ColumnRuns.of(runs))
    allowed = np.full(len(found), float(tolerance))
    while True:
        allowed[allowed < _FINEST] = 0
        corners = [_simplified(ring, one) for ring, one in zip(found, allowed, strict=True)]
        made = _assembled(found, corners)
        if round_trip(made, runs) < min_iou and allowed.any():
            allowed /= 2
        elif crossing := _crossing(found, corners, allowed):
            allowed[crossing] /= 2
        else:
            return made


def _crossing(found: Sequence[Ring], corners: Sequence[Corners], allowed: NDArray[np.float64]) -> list[int]:
    """Return the rings, of those that are not exact, that meet themselves or another one of their part."""
    members: dict[int, list[int]] = defaultdict(list)
    for number, ring in enumerate(found):
        if len(corners[number]) >= 3:
            members[ring.part].append(number)
    crossing: set[int] = set()
    for one in members.values():
        if allowed[one].any():
            crossing.update(one[i] for i in meeting([corners[number] for number in one]))
    return [number for number in sorted(crossing) if allowed[number]]


def _assembled(found: Sequence[Ring], corners: Sequence[Corners]) -> list[Polygon]:
    """Return the polygons of rings; a ring that a tolerance reduces to a line is left out."""
    holes: dict[int, list[Corners]] = defaultdict(list)
    outer: dict[int, Corners] = {}
    for ring, one in zip(found, corners, strict=True):
        if len(one) >= 3:
            holes[ring.part].append(one) if ring.hole else outer.update({ring.part: one})
    made = [Polygon(one, tuple(holes[part])) for part, one in outer.items()]
    return sorted(made, key=lambda one: -abs(signed_area(one.exterior)))


def _simplified(ring: Ring, tolerance: float) -> Corners:
    """Return corners, float32 (n, 2), that begin with the first in reading order and run in the sense of `Polygon`."""
    corners = ring.corners
    if tolerance:
        whole = corners.astype(np.int32)[:, None]
        with NATIVE_CALL:
            corners = cv2.approxPolyDP(whole, tolerance, closed=True)[:, 0]
    if (signed_area(corners) > 0) == ring.hole:
        corners = corners[::-1]
    first = np.lexsort((corners[:, 0], corners[:, 1]))[0]
    return np.roll(corners, -first, axis=0).astype(np.float32)


def round_trip(polygons: Sequence[Polygon], runs: MaskRuns) -> float:
    """Return the mask IoU between a mask and the pixels of polygons by the rule of pycocotools; 0 without pixels."""
    height, width = runs.size
    drawn = [polygon_edges(ring.astype(np.float64), width, height) for one in polygons for ring in one.rings]
    edges = odd_places(np.concatenate([np.zeros(0, np.int64), *drawn]))
    total = MaskRuns(edges, runs.size).area + runs.area
    differing = MaskRuns(odd_places(np.concatenate([edges, runs.edges])), runs.size).area
    return (total - differing) / (total + differing) if total else 0.0
