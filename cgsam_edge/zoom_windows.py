"""Where zoom looks: the parts of an image around clicks or a box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.prompts import Clicks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]
    Real = NDArray[np.floating[Any]]

NEAR = 0.4
"""Sides of the windows around clicks, and of the larger ones that cover a large box, as shares of the image's."""


@dataclass(frozen=True)
class Scale:
    """How large the windows of a box are.

    Attributes:
        margin: their sides as multiples of the box's: the model sees what is around an object.
        max_share: their greatest sides as shares of the image's; a larger box is covered by several windows.
    """

    margin: float
    max_share: float


SCALES = (Scale(1.5, NEAR), Scale(1.2, 0.3))
"""Of the windows of a box, the larger first. Masks at two scales err in different places, so their mean is better."""

TWO_SCALES_UP_TO = 0.6
"""Largest box that gets windows at both scales, as a share of the image's sides: a larger one has many windows."""

OVERLAP = 0.25
"""Least share of a window's side that it has in common with the next one, or that a click in it is from its edges."""

SMALLEST = 0.1
"""Least side of a window as a share of the model's. At a fifth, masks of small objects were worse."""

WIDEST = 0.8
"""Windows whose sides are over this share of the image's are not worth their time: the image is taken as a whole."""

Window = tuple[int, int, int, int]
"""Left, upper, right and lower edge in pixels."""


def windows_of(prompt: Clicks, size: tuple[int, int], image_size: int) -> list[Window]:
    """Return the parts of an image to look at, of its proportions; none if they are nearly all of it.

    Args:
        prompt: a box, which at each scale lies in one window or is covered by several, or clicks, each of which lies
            in a window.
        size: width and height of the image.
        image_size: the model's side in pixels.
    """
    least = SMALLEST * image_size / min(size)
    if prompt.box is None:
        sides = _sides(max(NEAR, least), size)
        return _around_clicks(prompt.points, sides, size) if sides else []
    low, high = prompt.box.astype(np.float64).reshape(2, 2)
    share = float(((high - low) / np.asarray(size)).max())
    scales = SCALES if share <= TWO_SCALES_UP_TO else SCALES[:1]
    shares = [max(min(scale.margin * share, scale.max_share), least) for scale in scales]
    found = dict.fromkeys(sides for one in shares if (sides := _sides(one, size)))
    return [window for sides in found for window in _over(low, high, sides, size)]


def _over(low: Real, high: Real, sides: tuple[int, int], size: tuple[int, int]) -> list[Window]:
    """Return the windows of one size that cover a box."""
    across, down = (_cover(*along) for along in zip(low, high, sides, size, strict=True))
    return [(x, y, x + sides[0], y + sides[1]) for y in down for x in across]


def _sides(share: float, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return width and height of windows; None if they are too wide to be worth it."""
    return None if share > WIDEST else (_pixels(size[0] * share), _pixels(size[1] * share))


def _pixels(side: float) -> int:
    """Round up, but not for what floating point adds to a whole number."""
    return int(np.ceil(side - 1e-6))


def _placed(centre: Real, sides: tuple[int, int], size: tuple[int, int]) -> Window:
    left, top = (
        int(np.clip(round(float(at) - side / 2), 0, length - side))
        for at, side, length in zip(centre, sides, size, strict=True)
    )
    return left, top, left + sides[0], top + sides[1]


def _around_clicks(points: Float, sides: tuple[int, int], size: tuple[int, int]) -> list[Window]:
    """Return a window around each click, unless it lies well inside an earlier one."""
    made: list[Window] = []
    for point in points:
        if not any(_well_inside(point, window, size) for window in made):
            made.append(_placed(point, sides, size))
    return made


def _well_inside(point: Float, window: Window, size: tuple[int, int]) -> bool:
    """Return whether a point is far from those edges of a window that are not the image's too."""
    for at, first, last, length in zip(point, window[:2], window[2:], size, strict=True):
        margin = OVERLAP * (last - first)
        if (at < first + margin and first > 0) or (at > last - margin and last < length):
            return False
    return True


def _cover(low: float, high: float, side: int, length: int) -> list[int]:
    """Return where windows begin that cover a stretch, and a tenth of a window around it if there are several."""
    if high - low <= side:
        return [int(np.clip(round((low + high - side) / 2), 0, length - side))]
    low, high = max(0.0, low - side / 10), min(float(length), high + side / 10)
    count = int(np.ceil((high - low - side) / ((1 - OVERLAP) * side))) + 1
    return [int(np.clip(round(at), 0, length - side)) for at in np.linspace(low, high - side, count)]


def holds(window: Window, box: Float) -> bool:
    """Return whether a box lies in a window as a whole, but for parts of a pixel at its edges."""
    return bool((box[:2] > np.subtract(window[:2], 1)).all() and (box[2:] < np.add(window[2:], 1)).all())


def inside(prompt: Clicks, window: Window) -> Clicks:
    """Return a prompt in a window's own pixels: the clicks in it, and the part of the box in it, if there is a box."""
    first, sides = np.asarray(window[:2], np.float32), np.subtract(window[2:], window[:2]).astype(np.float32)
    points = prompt.points - first
    kept = ((points >= 0) & (points <= sides)).all(axis=1)
    part = None if prompt.box is None else np.clip(prompt.box.reshape(2, 2) - first, 0, sides).reshape(4)
    return Clicks(points[kept], prompt.labels[kept], part)
