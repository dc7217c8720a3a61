"""A closer look: parts of an image are encoded again in the model's full size, and their masks put back in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.interpolation import Places, interpolated
from cgsam_edge.prompts import Clicks
from cgsam_edge.results import ABSENT_LOGIT, ConceptResult
from cgsam_edge.strips import strip_edges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]
    Real = NDArray[np.floating[Any]]

MARGIN = 1.5
"""Sides of a window around a box, as multiples of the box's: the model sees what is around a thing."""

NEAR = 0.4
"""Sides of the windows around clicks, and of those that share a greater box, as shares of the image's."""

ALONE = 0.5
"""Greatest sides of a window around a whole box, as shares of the image's; several windows share a greater box."""

OVERLAP = 0.25
"""Least share of a window's side that it has in common with the next one."""

SMALLEST = 0.2
"""Least side of a window as a share of the model's: the reference models saw pictures enlarged five times."""

WIDEST = 0.8
"""Windows whose sides are over this share of the image's are not worth their time: the image is taken as a whole."""

KEPT = 4
"""Windows that an encoded image keeps encoded, the last ones used."""

_WHOLE = 0.05
"""Weight of the image as a whole beside windows, whose own weight falls from 1 in the middle to 0 at the edges."""

Window = tuple[int, int, int, int]
"""Left, upper, right and lower edge in pixels."""


def windows_of(prompt: Clicks, size: tuple[int, int], image_size: int) -> list[Window]:
    """Return the parts of an image to look at, of one size and of its proportions; none if they are nearly all of it.

    Args:
        prompt: a box, around which windows lie, or clicks, each of which has one.
        size: width and height of the image.
        image_size: the model's side in pixels.
    """
    least = SMALLEST * image_size / min(size)
    if prompt.box is None:
        sides = _sides(max(NEAR, least), size)
        return _around_clicks(prompt.points, sides, size) if sides else []
    low, high = prompt.box[:2], prompt.box[2:]
    alone = max(float(((high - low) * MARGIN / np.asarray(size)).max()), least)
    if alone <= max(ALONE, least):
        sides = _sides(alone, size)
        return [_placed((low + high) / 2, sides, size)] if sides else []
    sides = _sides(max(NEAR, least), size)
    if not sides:
        return []
    across, down = (_cover(*along) for along in zip(low, high, sides, size, strict=True))
    return [(x, y, x + sides[0], y + sides[1]) for y in down for x in across]


def _sides(share: float, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return width and height of windows; None if they are too wide to be worth it."""
    return None if share > WIDEST else (int(np.ceil(size[0] * share)), int(np.ceil(size[1] * share)))


def _placed(centre: Real, sides: tuple[int, int], size: tuple[int, int]) -> Window:
    left, top = (
        int(np.clip(round(float(at) - side / 2), 0, length - side))
        for at, side, length in zip(centre, sides, size, strict=True)
    )
    return left, top, left + sides[0], top + sides[1]


def _around_clicks(points: Float, sides: tuple[int, int], size: tuple[int, int]) -> list[Window]:
    """Return a window around each click, unless an earlier one lies at most a quarter of its sides away."""
    made: list[Window] = []
    for point in points:
        window = _placed(point, sides, size)
        offs = (np.abs(np.subtract(one[:2], window[:2])) for one in made)
        if not any((off <= np.asarray(sides) / 4).all() for off in offs):
            made.append(window)
    return made


def _cover(low: float, high: float, side: int, length: int) -> list[int]:
    """Return where windows begin that cover a stretch and a tenth of a window around it."""
    low, high = max(0.0, low - side / 10), min(float(length), high + side / 10)
    if high - low <= side:
        return [int(np.clip(round((low + high - side) / 2), 0, length - side))]
    count = int(np.ceil((high - low - side) / ((1 - OVERLAP) * side))) + 1
    return [int(np.clip(round(at), 0, length - side)) for at in np.linspace(low, high - side, count)]


def inside(prompt: Clicks, window: Window, *, alone: bool) -> Clicks | None:
    """Return a prompt in a window's own pixels; None for text alone.

    Clicks outside of the window are left out. The box holds in a window that was made for it alone; of a greater box, a
    window sees only a part, whose edges are not those of the object.
    """
    first = np.asarray(window[:2], np.float32)
    points = prompt.points - first
    kept = ((points >= 0) & (points <= np.asarray(window[2:], np.float32) - first)).all(axis=1)
    box = (prompt.box.reshape(2, 2) - first).reshape(4) if alone and prompt.box is not None else None
    return Clicks(points[kept], prompt.labels[kept], box) if kept.any() or box is not None else None


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
    """One concept whose mask was computed in windows, see `Encoded.predict`; it comes from ``whole`` and ``near``.

    ``score``, ``presence``, ``evidence`` and ``similarity`` are those of the image as a whole, or of a box's only
    window. ``logits`` are the blended ones at the decoder's resolution, which small
    things fall through.

    Attributes:
        near: the windows; where several lie, their logits are averaged.
        whole: logits of the image as a whole, float32 (m, m), which count outside of the windows; None if the mask is
            empty there.
    """

    near: tuple[Near, ...] = field(kw_only=True, repr=False)
    whole: Float | None = field(kw_only=True, repr=False)

    def logit_strips(self) -> Iterator[tuple[slice, Float]]:
        """Yield the logits at the image's size in parts from left to right: the columns, and float32 (H, w)."""
        width, height = self.image_size
        for left, right in pairwise(strip_edges(width, height)):
            yield slice(left, right), self._blended(np.arange(left, right) + 0.5, np.arange(height) + 0.5)

    def full_logits(self) -> Float:
        """Return the logits at the image's size, float32 (H, W)."""
        return np.concatenate([strip for _, strip in self.logit_strips()], axis=1)

    def _blended(self, xs: Real, ys: Real) -> Float:
        return blended(self.near, self.whole, self.box, self.image_size, xs, ys)


def zoomed(
    base: ConceptResult, near: Sequence[Near], whole: Float | None, prompt: Clicks, size: tuple[int, int]
) -> ZoomedConcept:
    """Return a result that was computed in windows.

    Args:
        base: the result of the image as a whole, or of the only window.
        near: the windows; none where similarity rules the concept out in all of them.
        whole: logits outside of the windows; None for an empty mask there.
        prompt: in the image's pixels.
        size: width and height of the image.
    """
    side = len(base.logits)
    xs, ys = ((np.arange(side) + 0.5) * length / side for length in size)
    return ZoomedConcept(
        name=base.name,
        logits=blended(near, whole, prompt.box, size, xs, ys),
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
    )


def blended(
    near: Sequence[Near], whole: Float | None, box: Float | None, size: tuple[int, int], xs: Real, ys: Real
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
