"""One annotation's ``segmentation``: polygons or RLE, in the forms that annotation tools write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.polygon_pixels import polygon_mask
from cgsam_edge.rle import decode_rle, rle_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

_CORNERS = 3
_EXPECTED = "expected polygons [[x1, y1, x2, y2, x3, y3, …], …] or an RLE {'size': [height, width], 'counts': …}"


@dataclass(frozen=True)
class SegmentationPart:
    """A part of a segmentation that is drawn in one step.

    Attributes:
        size: stated width and height, or None.
        reach: the largest x and y of its corners; 0 without corners.
        draw: function from width and height to the mask (H, W); may raise `InputError`.
    """

    size: tuple[int, int] | None
    reach: tuple[float, float]
    draw: Callable[[int, int], Mask]


def is_missing(value: Any) -> bool:
    """Whether an annotation's segmentation is missing, null or empty."""
    return value is None or value in ([], [[]], {}, "")


def are_fractions(value: Any) -> bool:
    """Whether all corners are between 0 and 1, some strictly: fractions of the image's size instead of pixels."""
    try:
        corners = np.concatenate([part.ravel() for part in _polygons(value)])
    except InputError:
        return False
    return bool(corners.min() >= 0 and corners.max() <= 1 and (corners % 1).any())


def segmentation_parts(value: Any) -> list[SegmentationPart]:
    """Split a segmentation: a list of polygons, one polygon as a flat list, an RLE, or a list of RLE.

    Raises:
        InputError: it has none of these forms.
    """
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        return [_rle(part) for part in value]
    polygons = _polygons(value)
    reach = np.concatenate(polygons).max(axis=0)
    return [SegmentationPart(None, (float(reach[0]), float(reach[1])), partial(polygon_mask, polygons))]


def _rle(value: dict[str, Any]) -> SegmentationPart:
    height, width = rle_size(value)
    return SegmentationPart((width, height), (0, 0), lambda _width, _height: decode_rle(value))


def _polygons(value: Any) -> list[NDArray[np.float64]]:
    """Return the corners of each part, (N, 2).

    Raises:
        InputError: a part is not a list of pairs of finite numbers, or none has three corners.
    """
    if not isinstance(value, list):
        raise InputError(f"a segmentation of type {type(value).__name__}; {_EXPECTED}.")
    parts: Sequence[Any] = value if all(isinstance(part, list) for part in value) else [value]
    polygons = [_corners(part) for part in parts if part]
    if not any(len(polygon) >= _CORNERS for polygon in polygons):
        sizes = " and ".join(map(str, sorted({2 * len(polygon) for polygon in polygons} or {0})))
        raise InputError(f"polygons of {sizes} numbers, too few for an area (a box, or points as pairs?); {_EXPECTED}.")
    return polygons  # some tools leave stray points next to a polygon, which cover nothing


def _corners(part: Sequence[Any]) -> NDArray[np.float64]:
    for number in part:
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            raise InputError(f"a polygon holds {number!r:.40}; {_EXPECTED}.")
    if len(part) % 2:
        raise InputError(f"a polygon of {len(part)} numbers, an odd count (the counts of an RLE?); {_EXPECTED}.")
    try:
        corners = np.asarray(part, np.float64).reshape(-1, 2)
    except OverflowError:
        corners = np.full((1, 2), np.inf)
    if not np.isfinite(corners).all():
        raise InputError(f"a polygon holds a number that is not finite; {_EXPECTED}.")
    return corners
