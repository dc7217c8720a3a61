"""Rendered street scenes in motion: clips whose things keep their number from frame to frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cgsam_edge.quality.scenes.canvas import Canvas
from cgsam_edge.quality.scenes.concepts import BICYCLIST, CAR, PEDESTRIAN, POLE, SIGN
from cgsam_edge.quality.scenes.ground import paint_distance, paint_ground, paint_shadows, paint_sky
from cgsam_edge.quality.scenes.layout import Piece, draw_street
from cgsam_edge.quality.scenes.light import draw_light
from cgsam_edge.quality.scenes.motion import MovingLayout, draw_ride, draw_start
from cgsam_edge.quality.scenes.render import develop

RATE = 12.0
"""Frames a second."""

THINGS = (CAR, PEDESTRIAN, BICYCLIST, SIGN, POLE)
"""Concepts whose pixels carry the number of a thing; sky, road, trees, houses and fences are not counted."""

_CLIPS, _START, _SKY, _GROUND, _LAYOUT, _PHOTO, _NOISE, _PIECE = range(8)
"""Streams of random numbers, each separate, so that what is seen in one frame does not change the next."""

_UNPAINTED = 255


@dataclass(frozen=True)
class ClipFrame:
    """One frame of a clip.

    Attributes:
        number: counted from 0.
        seconds: time since the first.
        image: (height, width, 3) uint8 RGB.
        labels: (height, width) uint8, an index of ``CONCEPTS`` or ``IGNORE``.
        ids: (height, width) uint16, the number of the thing that a pixel shows, the same in all frames of a clip; 0
            where ``labels`` is not one of `THINGS`. A thing may be hidden for some frames. A sign and its pole are one.
    """

    number: int
    seconds: float
    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    ids: NDArray[np.uint16]


def render_clip(
    seed: int, index: int, frames: int, height: int = 512, width: int = 512, rate: float = RATE
) -> Iterator[ClipFrame]:
    """Yield the frames of clip ``index`` of the endless series ``seed``: always the same pictures.

    Cars, riders and people move, and so does the camera: on a stand, in a hand, in a car, or panning. People cross
    behind a bush, which hides them for a moment.

    Args:
        seed, index: non-negative; clips of different pairs are independent of each other and of the still scenes.
        frames: how many.
        height, width: pixels.
        rate: frames a second.

    Raises:
        ValueError: a side is under 16 pixels.
    """
    if min(height, width) < 16:
        raise ValueError(f"expected a height and width of at least 16 pixels, got {height}x{width}")
    moments = _Moments(seed, index, height, width)
    return (moments.frame(number, number / rate) for number in range(frames))


class _Moments:
    """Paints any moment of a clip, from nothing but its time."""

    def __init__(self, seed: int, index: int, height: int, width: int) -> None:
        self._key = (seed, index, _CLIPS)
        rng = self._rng(_START)
        self._start, self._light = draw_start(rng, width, height), draw_light(rng)
        self._street, self._ride, self._skyline = draw_street(rng), draw_ride(rng), rng.random() < 0.85

    def frame(self, number: int, seconds: float) -> ClipFrame:
        """Paint far things first, as in a still scene."""
        canvas = Canvas(self._ride.at(self._start, seconds), self._light, self._rng(_SKY))
        paint_sky(canvas)
        if self._skyline:
            paint_distance(canvas)
        canvas.rng = self._rng(_GROUND)
        paint_ground(canvas, self._street)
        canvas.rng = self._rng(_LAYOUT)
        pieces = MovingLayout(canvas, self._street, self._start, self._ride, seconds).pieces
        paint_shadows(canvas, [piece.shadow for piece in pieces if piece.shadow is not None])
        ids = np.zeros(canvas.labels.shape, np.uint16)
        for piece in sorted(pieces, key=lambda piece: -piece.depth):
            self._paint(piece, canvas, ids)
        ids[~np.isin(canvas.labels, THINGS)] = 0
        canvas.rng = self._rng(_PHOTO)
        image, mirrored = develop(canvas, self._rng(_NOISE, number))
        view = slice(None, None, -1 if mirrored else 1)
        labels = np.ascontiguousarray(canvas.labels[:, view])
        return ClipFrame(
            number, seconds, np.ascontiguousarray(image[:, view]), labels, np.ascontiguousarray(ids[:, view])
        )

    def _paint(self, piece: Piece, canvas: Canvas, ids: NDArray[np.uint16]) -> None:
        """Paint a piece with its own random numbers, on empty labels that show which pixels it covers."""
        canvas.rng = self._rng(_PIECE, piece.number)
        below, canvas.labels = canvas.labels, np.full_like(canvas.labels, _UNPAINTED)
        piece.paint()
        covered = canvas.labels != _UNPAINTED
        np.copyto(below, canvas.labels, where=covered)
        ids[covered] = piece.number
        canvas.labels = below

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng((*self._key, *stream))
