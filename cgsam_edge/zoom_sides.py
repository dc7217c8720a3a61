"""A box ends where the object ends: a zoomed mask that stops short of a side of its box is extended to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]
    Real = NDArray[np.floating[Any]]
    Logits = Callable[[Real, Real], Float]

EDGE = 0.03
"""A mask reaches a side if it comes this close to it, as a share of the box, or within a pixel."""

REACH = 0.3
"""How far into the box logits are raised, less and less, and how far a mask may be from a side: a share of the box."""

ALONG = 0.3
"""How far along a side logits are raised, less and less, as a share of its length."""

BESIDE = 0.1
"""How far along a side the mask may be from the best place, as a share of the side's length."""

MAX_BOOST = 3.0
"""Greatest logit by which a side is raised. Where it would take more, the box is probably too large."""

_PLACES, _DEPTH, _GRID = 1024, 32, 64
"""Most places that are looked at along a side, away from it, and each way in the search for the mask."""

_ENOUGH = 1e-3
"""Added to a shortfall, so that the best place is in the mask."""


def shortfall(logits: Logits, box: Float) -> Float:
    """Return by how much the best place near each side of a box falls short of the mask, and where it is.

    A side has no shortfall if the mask reaches it, if the best place lacks more than `MAX_BOOST`, or if there is no
    mask near that place: the box may be too large, or hold nothing of the concept.

    Args:
        logits: returns logits float32 (rows, columns) at places given in ascending order, as pixels from the left and
            the upper edge.
        box: in pixels, float32 (4,) as (x0, y0, x1, y1).

    Returns:
        Float32 (4, 2), for the left, upper, right and lower side: the shortfall, and the pixel along the side.
    """
    return np.array([_shortfall(logits, box.astype(np.float64), side) for side in range(4)], np.float32)


def _shortfall(logits: Logits, box: Real, side: int) -> tuple[float, float]:
    axis, (start, inwards) = side % 2, _ends(box, side)
    low, high = box[1 - axis], box[3 - axis]
    near = _edge(abs(inwards)) * inwards
    along = _places(low, high, _PLACES)
    close = _places(min(start, start + near), max(start, start + near), _DEPTH)
    best = _look(logits, axis, close, along).max(axis=1)
    lacks, place = -float(best.max()), float(along[best.argmax()])
    if not 0 <= lacks <= MAX_BOOST:
        return 0, place
    beside = BESIDE * (high - low)
    within = np.sort(np.linspace(start, start + near + REACH * inwards, _GRID))
    around = np.linspace(max(low, place - beside), min(high, place + beside), _GRID)
    return (lacks + _ENOUGH if (_look(logits, axis, within, around) > 0).any() else 0), place


def _ends(box: Real, side: int) -> tuple[float, float]:
    """Return where a side lies along the other axis, and how far the opposite side is from it, with its sign."""
    return float(box[side]), float(box[(side + 2) % 4] - box[side])


def _edge(length: float) -> float:
    """Return how close a mask has to come to a side, as a share of the box's length away from it."""
    return max(EDGE, min(1.0, 1 / length))


def _places(first: float, last: float, most: int) -> Real:
    """Return the centres of the pixels between two places; evenly spaced ones if there are too many or none."""
    found = np.arange(np.ceil(first - 0.5), np.floor(last - 0.5) + 1) + 0.5
    if 0 < len(found) <= most:
        return found
    count = max(1, min(len(found), most))
    return first + (np.arange(count) + 0.5) * (last - first) / count


def _look(logits: Logits, axis: int, across: Real, along: Real) -> Float:
    """Return logits (along, across) of places that are given along a side and away from it."""
    return logits(across, along) if axis == 0 else logits(along, across).T


def boost(short: Float, box: Float, xs: Real, ys: Real) -> Float:
    """Return what to add to logits at places in a box, float32 (rows, columns).

    Args:
        short: of `shortfall`.
        box: as there.
        xs: pixels from the left edge.
        ys: pixels from the upper edge.
    """
    found = np.zeros((len(ys), len(xs)), np.float32)
    for side, (lacks, place) in enumerate(short.astype(np.float64)):
        if lacks:
            start, inwards = _ends(box.astype(np.float64), side)
            across, along = (xs, ys) if side % 2 == 0 else (ys, xs)
            length = float(box[3 - side % 2] - box[1 - side % 2])
            away = _fall((across - start) / inwards, _edge(abs(inwards)), REACH)
            beside = _fall(np.abs(along - place) / length, _edge(length), ALONG)
            added = lacks * np.outer(beside, away)
            found = np.maximum(found, (added if side % 2 == 0 else added.T).astype(np.float32))
    return found


def _fall(distance: Real, flat: float, reach: float) -> Real:
    """Return 1 up to a distance, from where it falls to 0."""
    found: Real = np.clip(1 - (distance - flat) / reach, 0, 1)
    return found
