"""Objects keep a number from frame to frame: by the overlap of their masks, moved as they move."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.live.shapes import Shape, cell_size
from cgsam_edge.tracked import TrackedObject, Tracking

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.objects import ObjectMask
    from cgsam_edge.results import Result

_GAIN = 0.4
"""Weight of the newest step in an object's velocity."""

_WHOLE = (0.5, 2.0)
"""An object whose area, as a share of its usual one, lies outside is partly hidden or merged: its step is ignored."""

_LIKE = (0.05, 8.0)
"""Areas, as shares of an object's usual one, at which what does not overlap it may still be it."""

_REACH, _REACH_A_FRAME, _FURTHEST = 1.0, 0.3, 3.0
"""How far that may lie from where the object should be, in sides of the object; it grows while it is hidden."""

_FIRST_REACH = 2.0
"""The same after an object's first frame, when it is not known how it moves."""


@dataclass
class _Track:
    """What is known of an object.

    Attributes:
        concept: its concept.
        shape: its last whole shape, on the grid.
        place: where its middle is, or should be, in this frame, (2,).
        velocity: cells a frame, (2,).
        usual: its usual area in cells.
        id: its number; 0 until it has been seen often enough.
        frames: in how many frames it was seen.
        hidden: how many frames ago it was last seen; 0 in the frame itself.
    """

    concept: str
    shape: Shape
    place: NDArray[np.float64]
    velocity: NDArray[np.float64]
    usual: float
    id: int = 0
    frames: int = 1
    hidden: int = 0

    @property
    def side(self) -> float:
        """The side of a square with its usual area, in cells."""
        return float(np.sqrt(self.usual))

    def expected(self) -> Shape:
        """Return where its shape should be."""
        return self.shape.moved(self.place - self.shape.middle)

    def advance(self) -> None:
        """Move on by a frame."""
        self.place = self.place + self.velocity
        self.hidden += 1

    def see(self, shape: Shape) -> None:
        """Take in what was found in this frame."""
        whole = _WHOLE[0] < shape.area / self.usual < _WHOLE[1]
        if whole:
            step = (shape.middle - self.shape.middle) / self.hidden
            gain = 1.0 if self.frames == 1 else _GAIN
            self.velocity = self.velocity + gain * (step - self.velocity)
        self.usual += (0.3 if whole else 0.1) * (shape.area - self.usual)
        self.shape, self.place = shape, shape.middle
        self.frames, self.hidden = self.frames + 1, 0


class Tracker:
    """Gives the objects of successive frames numbers; feed it every frame, in order.

    An object is found again where its mask, moved as the object last moved, overlaps a part of the same concept best;
    what overlaps nothing is looked for nearby. Objects that touch are one part, so one of them counts as hidden until
    they part again.

    Args:
        options: how objects are tracked.
    """

    def __init__(self, options: Tracking | None = None) -> None:
        self._options = Tracking() if options is None else options
        self._tracks: list[_Track] = []
        self._next = count(1)
        self._size = (0, 0)

    def update(self, result: Result) -> tuple[TrackedObject, ...]:
        """Return the objects of the next frame with their numbers, in the order of these; absent concepts have none."""
        if result.image.size != self._size:
            self.forget()
            self._size = result.image.size
        found = result.objects(min_area=self._options.min_area)
        for track in self._tracks:
            track.advance()
        shapes = [Shape.of(one) for one in found]
        seen = self._matched(found, shapes)
        tracked = [self._take(seen.get(index), one, shapes[index]) for index, one in enumerate(found)]
        self._tracks = [track for track in self._tracks if not track.hidden or self._may_return(track)]
        return tuple(sorted((one for one in tracked if one is not None), key=lambda one: one.id))

    def forget(self) -> None:
        """Forget all objects, such as at a cut; numbers continue."""
        self._tracks = []

    def _matched(self, found: tuple[ObjectMask, ...], shapes: list[Shape]) -> dict[int, _Track]:
        """Return the track of each object that has one: overlaps count first, then what is near."""
        same = [(track, i) for track in self._tracks for i, one in enumerate(found) if track.concept == one.concept]
        pairs: dict[int, _Track] = {}
        _pair(pairs, ((track.expected().iou(shapes[i]), track, i) for track, i in same), self._options.min_iou)
        _pair(pairs, ((_nearness(track, shapes[i]), track, i) for track, i in same), 0.0)
        return pairs

    def _take(self, track: _Track | None, one: ObjectMask, shape: Shape) -> TrackedObject | None:
        """Note a part that was found as an earlier object or as a new one; None as long as it has no number."""
        hidden = 0
        if track is None:
            track = _Track(one.concept, shape, shape.middle, np.zeros(2), float(shape.area))
            self._tracks.append(track)
        else:
            hidden = track.hidden - 1
            track.see(shape)
        if not track.id and track.frames >= self._options.min_frames:
            track.id = next(self._next)
        step = cell_size(one.image_size)
        velocity = (float(track.velocity[0]) * step, float(track.velocity[1]) * step)
        return TrackedObject(track.id, one, track.frames, hidden, velocity) if track.id else None

    def _may_return(self, track: _Track) -> bool:
        """Whether an object that is hidden may be seen again: not gone for too long, nor out of the picture."""
        if not track.id or track.hidden > self._options.max_gap:
            return False
        sides = np.array(self._size) / cell_size(self._size)
        return bool((track.place > -track.shape.size / 2).all() and (track.place < sides + track.shape.size / 2).all())


def _pair(pairs: dict[int, _Track], links: Iterable[tuple[float, _Track, int]], least: float) -> None:
    """Add the strongest links between tracks and objects, by their index, that are both still free."""
    taken = {id(track) for track in pairs.values()}
    for strength, track, index in sorted(links, key=lambda link: -link[0]):
        if strength >= least and index not in pairs and id(track) not in taken:
            pairs[index] = track
            taken.add(id(track))


def _nearness(track: _Track, shape: Shape) -> float:
    """Return how near an object lies to where it should be: 1 there, 0 at the reach, below 0 beyond or unlike it."""
    if not _LIKE[0] < shape.area / track.usual < _LIKE[1]:
        return -1.0
    begin = _FIRST_REACH if track.frames == 1 else _REACH
    reach = min(_FURTHEST, begin + _REACH_A_FRAME * (track.hidden - 1)) * track.side
    return 1.0 - float(np.linalg.norm(shape.middle - track.place)) / reach
