"""A box ends where its thing ends: a zoomed mask that falls short of a side of its box is drawn towards it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]
    Real = NDArray[np.floating[Any]]

EDGE = 0.05
"""Where a mask has to be to reach a side: at most this far from it, as a share of the box's side, or a pixel."""

REACH = 0.3
"""How far into the box logits are raised, less and less, as a share of the box's side."""

MOST = 3.0
"""Greatest logit by which a side is raised. Where it lacks more, the box is probably too large, and nothing is done."""

_GRID = 64
"""Places along each side of a box that are looked at for a mask."""

_ENOUGH = 1e-3
"""Added to what a side lacks, so that its best pixel is in the mask."""


def lacking(logits: Callable[[Real, Real], Float], box: Float) -> Float:
    """Return by how much logits fall short of a mask at the sides of a box, float32 (4,) as left, top, right, bottom.

    Nothing is lacking where there is no mask at all: the box may hold nothing of the concept.

    Args:
        logits: returns logits float32 (rows, columns) at places given as pixels from the left and the upper edge.
        box: in pixels, float32 (4,) as (x0, y0, x1, y1).
    """
    ends = [(float(box[axis]), float(box[axis + 2])) for axis in (0, 1)]
    if not (logits(*(np.linspace(*end, 2 * _GRID + 1)[1::2] for end in ends)) > 0).any():
        return np.zeros(4, np.float32)
    xs, ys = (_centres(*end) for end in ends)
    near_x, near_y = (_near(at, *end) for at, end in zip((xs, ys), ends, strict=True))
    best = [logits(near_x[0], ys), logits(xs, near_y[0]), logits(near_x[1], ys), logits(xs, near_y[1])]
    lacks = np.array([-one.max() for one in best], np.float32)
    return np.where((lacks > 0) & (lacks <= MOST), lacks + _ENOUGH, 0).astype(np.float32)


def _centres(first: float, last: float) -> Real:
    """Return the centres of the pixels between two places, or their middle if there are none."""
    found = np.arange(np.ceil(first - 0.5), np.floor(last - 0.5) + 1) + 0.5
    return found if len(found) else np.array([(first + last) / 2])


def _near(at: Real, first: float, last: float) -> tuple[Real, Real]:
    """Return the places that are near each end, one at least."""
    within = EDGE * (last - first)
    return at[: max(1, int((at <= first + within).sum()))], at[-max(1, int((at >= last - within).sum())) :]


def raised(lacks: Float, box: Float, xs: Real, ys: Real) -> Float:
    """Return what to add to logits at places in a box, float32 (rows, columns)."""
    across, down = (
        np.maximum(
            lacks[axis] * _ramp(at - box[axis], box[axis + 2] - box[axis]),
            lacks[axis + 2] * _ramp(box[axis + 2] - at, box[axis + 2] - box[axis]),
        )
        for axis, at in enumerate((xs, ys))
    )
    more: Float = np.maximum(down[:, None], across[None]).astype(np.float32)
    return more


def _ramp(away: Real, side: np.floating[Any]) -> Real:
    """Return 1 at a side of a box, and less with the distance from it."""
    found: Real = np.clip(1 - (away / side - EDGE) / REACH, 0, 1)
    return found
