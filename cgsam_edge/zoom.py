"""A closer look at a box: its surroundings are encoded again, in the model's full size, so small things are sharp."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.prompts import Clicks, resize
from cgsam_edge.results import ABSENT_LOGIT, ConceptResult
from cgsam_edge.strips import strip_edges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

MARGIN = 1.5
"""Sides of a window as multiples of the box's: the model sees what is around a thing."""

SMALLEST = 0.2
"""Least side of a window as a share of the model's: the reference models saw pictures enlarged five times."""

WIDEST = 0.8
"""Greatest side of a window as a share of the picture's: beyond it, the picture as a whole is nearly as close."""

Window = tuple[int, int, int, int]
"""Left, upper, right and lower edge in pixels."""


def window_around(clicks: Clicks, size: tuple[int, int], image_size: int) -> Window | None:
    """Return the part of a picture to look at, of the picture's proportions; None if that is nearly all of it.

    Args:
        clicks: a box and clicks, in pixels; the clicks inside the object are in the window too.
        size: width and height of the picture.
        image_size: the model's side in pixels.
    """
    corners = np.zeros((0, 2), np.float32) if clicks.box is None else clicks.box.reshape(2, 2)
    within = np.concatenate([corners, clicks.points[clicks.labels > 0]])
    low, high = within.min(axis=0), within.max(axis=0)
    wanted = np.maximum((high - low) * MARGIN, SMALLEST * image_size)
    share = float((wanted / np.asarray(size)).max())
    if share > WIDEST:
        return None
    sides = np.ceil(np.asarray(size) * share).astype(int)
    first = np.clip(np.rint((low + high - sides) / 2).astype(int), 0, np.asarray(size) - sides)
    left, top = first.tolist()
    right, bottom = (first + sides).tolist()
    return left, top, right, bottom


def inside(clicks: Clicks, window: Window) -> Clicks:
    """Return a prompt in a window's own pixels; clicks outside of it, where the mask is empty anyway, are left out."""
    first = np.asarray(window[:2], np.float32)
    size = np.asarray(window[2:], np.float32) - first
    points = clicks.points - first
    kept = ((points >= 0) & (points <= size)).all(axis=1)
    box = None if clicks.box is None else (clicks.box.reshape(2, 2) - first).reshape(4)
    return Clicks(points[kept], clicks.labels[kept], box)


@dataclass(frozen=True, eq=False)
class ZoomedConcept(ConceptResult):
    """One concept in a window of an image, see `Encoded.predict`; outside of the window its mask is empty.

    ``score``, ``presence``, ``evidence`` and ``similarity`` are those of the window alone. ``logits`` are the window's,
    placed in the whole image and thus coarser than ``window_logits``, from which the mask comes.

    Attributes:
        window: left, upper, right and lower edge of the window in the image's pixels.
        window_logits: logits of the decoder in the window, float32 (m, m).
    """

    window: Window = field(kw_only=True)
    window_logits: Float = field(kw_only=True, repr=False)

    def logit_strips(self) -> Iterator[tuple[slice, Float]]:
        """Yield the logits at the image's size in parts from left to right: the columns, and float32 (H, w)."""
        width, height = self.image_size
        left, top, right, bottom = self.window
        near = resize(self.window_logits, right - left, bottom - top)
        edges = strip_edges(width, height)
        for begin, end in pairwise(edges):
            strip = np.full((height, end - begin), ABSENT_LOGIT, np.float32)
            first, last = max(begin, left), min(end, right)
            if first < last:
                strip[top:bottom, first - begin : last - begin] = near[:, first - left : last - left]
            yield slice(begin, end), strip

    def full_logits(self) -> Float:
        """Return the logits at the image's size, float32 (H, W)."""
        return np.concatenate([strip for _, strip in self.logit_strips()], axis=1)


def placed(result: ConceptResult, clicks: Clicks, window: Window, size: tuple[int, int]) -> ZoomedConcept:
    """Return a window's result as one of the image that it was cut from.

    Args:
        result: of the window.
        clicks: the prompt, in the image's pixels.
        window: where the window lies.
        size: width and height of the image.
    """
    return ZoomedConcept(
        name=result.name,
        logits=_coarse(result.logits, window, size),
        score=result.score,
        presence=result.presence,
        present=result.present,
        evidence=result.evidence,
        similarity=result.similarity,
        points=clicks.points,
        labels=clicks.labels,
        box=clicks.box,
        image_size=size,
        window=window,
        window_logits=result.logits,
    )


def _coarse(logits: Float, window: Window, size: tuple[int, int]) -> Float:
    """Return the logits of a window as part of the image's, (m, m), each cell the value at its centre."""
    side = len(logits)
    coarse = np.full((side, side), ABSENT_LOGIT, np.float32)
    centres = (np.arange(side) + 0.5) / side
    columns, rows = (
        (centres * length - first) / (last - first)
        for length, first, last in zip(size, window[:2], window[2:], strict=True)
    )
    within = [np.flatnonzero((at >= 0) & (at < 1)) for at in (rows, columns)]
    taken = [(at[chosen] * side).astype(int) for at, chosen in zip((rows, columns), within, strict=True)]
    coarse[np.ix_(*within)] = logits[np.ix_(*taken)]
    return coarse
