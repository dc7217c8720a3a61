"""A closer look: parts of an image are encoded again in the model's full size, and their masks put back in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.interpolation import Places, interpolated
from cgsam_edge.prompts import Clicks
from cgsam_edge.results import ABSENT_LOGIT, ConceptResult
from cgsam_edge.strips import strip_edges
from cgsam_edge.zoom_sides import boost, shortfall
from cgsam_edge.zoom_windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]
    Real = NDArray[np.floating[Any]]

KEPT = 5
"""Windows that an encoded image keeps encoded, the last ones used."""

NO_SHORTFALL = np.zeros((4, 2), np.float32)
"""The mask reaches all sides of a box, or is left as it is."""
NO_SHORTFALL.flags.writeable = False

_WHOLE = 0.05
"""Weight of the image as a whole beside windows, whose own weight falls from 1 in the middle to 0 at the edges."""


@dataclass(frozen=True, eq=False)
class Near:
    """What was computed in a window.

    Attributes:
        window: where it lies.
        logits: of the decoder, float32 (m, m).
    """

    window: Window
    logits: Float


@dataclass(frozen=True, eq=False)
class ZoomedConcept(ConceptResult):
    """One concept whose mask was computed in windows, see `Encoded.predict`.

    The mask comes from ``whole``, ``near`` and ``shortfall``. ``score``, ``presence``, ``evidence`` and ``similarity``
    are those of the image as a whole, or of the largest window that holds all of a box, if there is one. ``points`` are
    all clicks that were given. ``logits`` are the blended ones at the decoder's resolution, which is too coarse for
    small things.

    Attributes:
        near: the windows; where several lie, their logits are averaged.
        whole: logits of the image as a whole, float32 (m, m), which count outside of the windows; None if the mask is
            empty there.
        shortfall: by how much logits are raised near the sides of the box, and where, float32 (4, 2); see
            `cgsam_edge.zoom_sides.shortfall`.
    """

    near: tuple[Near, ...] = field(kw_only=True, repr=False)
    whole: Float | None = field(kw_only=True, repr=False)
    shortfall: Float = field(kw_only=True, repr=False)

    def logit_strips(self) -> Iterator[tuple[slice, Float]]:
        """Yield the logits at the image's size in parts from left to right: the columns, and float32 (H, w)."""
        width, height = self.image_size
        for left, right in pairwise(strip_edges(width, height)):
            yield slice(left, right), self._blended(np.arange(left, right) + 0.5, np.arange(height) + 0.5)

    def full_logits(self) -> Float:
        """Return the logits at the image's size, float32 (H, W)."""
        return np.concatenate([strip for _, strip in self.logit_strips()], axis=1)

    def _blended(self, xs: Real, ys: Real) -> Float:
        return blended(self.near, self.whole, self.box, self.image_size, xs, ys, self.shortfall)


def combined(without: ConceptResult, boxed: ConceptResult) -> ConceptResult:
    """Return what a window shows of a concept whose box it cuts.

    A box says that the concept is there, which need not be so in a part of it. So its mask counts by the square of the
    presence that the window shows without it, or in full where a click is inside the concept.

    Args:
        without: the window's result from text, and from clicks in it.
        boxed: the same with the box's part.
    """
    share = np.float32(1 if (boxed.labels == 1).any() else without.presence**2)
    return replace(without, logits=share * boxed.logits + (1 - share) * without.logits)


def zoomed(
    base: ConceptResult, near: Sequence[Near], whole: Float | None, prompt: Clicks, size: tuple[int, int]
) -> ZoomedConcept:
    """Return a result that was computed in windows.

    Args:
        base: the result of the image as a whole, or of the largest window that holds all of the box.
        near: the windows; none where similarity rules the concept out in all of them.
        whole: logits outside of the windows; None for an empty mask there.
        prompt: in the image's pixels.
        size: width and height of the image.
    """
    side = len(base.logits)
    xs, ys = ((np.arange(side) + 0.5) * length / side for length in size)
    short = NO_SHORTFALL
    if prompt.box is not None and not len(prompt.points):  # clicks say more about a mask than its box
        short = shortfall(lambda xs, ys: blended(near, whole, prompt.box, size, xs, ys), prompt.box)
    return ZoomedConcept(
        name=base.name,
        logits=blended(near, whole, prompt.box, size, xs, ys, short),
        score=base.score,
        presence=base.presence,
        present=base.present,
        evidence=base.evidence,
        similarity=base.similarity,
        points=prompt.points,
        labels=prompt.labels,
        box=prompt.box,
        image_size=size,
        near=tuple(near),
        whole=whole,
        shortfall=short,
    )


def blended(
    near: Sequence[Near],
    whole: Float | None,
    box: Float | None,
    size: tuple[int, int],
    xs: Real,
    ys: Real,
    short: Float = NO_SHORTFALL,
) -> Float:
    """Return logits float32 (rows, columns) at places of an image, given as pixels from its left and upper edge."""
    total = np.zeros((len(ys), len(xs)), np.float32)
    weight = np.zeros_like(total)
    if whole is not None:
        total += _WHOLE * _at(whole, ((0, size[0]), (0, size[1])), xs, ys)
        weight += _WHOLE
    for one in near:
        left, top, right, bottom = one.window
        columns, rows = (slice(*np.searchsorted(at, ends)) for at, ends in ((xs, (left, right)), (ys, (top, bottom))))
        across = _weights(xs[columns], left, right, size[0])
        share = np.outer(_weights(ys[rows], top, bottom, size[1]), across)
        total[rows, columns] += share * _at(one.logits, ((left, right), (top, bottom)), xs[columns], ys[rows])
        weight[rows, columns] += share
    found = np.where(weight > 0, total / np.where(weight > 0, weight, 1), np.float32(ABSENT_LOGIT))
    if box is not None:
        if short[:, 0].any():
            found += boost(short, box, xs, ys)
        found[(ys < box[1]) | (ys > box[3])] = ABSENT_LOGIT
        found[:, (xs < box[0]) | (xs > box[2])] = ABSENT_LOGIT
    return found


def _weights(at: Real, first: int, last: int, length: int) -> Float:
    """Return the weights of places in a window: 1 in the middle, less towards its edges that are not the image's."""
    place = (at - first) / (last - first)
    fall = np.sin(np.pi * place) ** 2 + 1e-3
    flat = (place < 0.5) & (first == 0) | (place > 0.5) & (last == length)
    return np.where(flat, 1, fall).astype(np.float32)


def _at(logits: Float, edges: Sequence[tuple[int, int]], xs: Real, ys: Real) -> Float:
    """Interpolate logits (m, m) that cover a rectangle, given as first and last column and row, at places in it."""
    across, down = (
        Places.at((at - first) / (last - first) * len(logits), len(logits))
        for at, (first, last) in zip((xs, ys), edges, strict=True)
    )
    found: Float = interpolated(interpolated(logits, down).T, across).T
    return found
