"""Do objects keep their numbers? Tracks against labels in which every thing is numbered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.agreement import is_held, mask_iou

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

MATCHED = 0.5
"""Least IoU of a track's mask with the thing that it is taken for."""


@dataclass(frozen=True)
class Numbered:
    """A mask with a number: a labelled thing, or a tracked object.

    Attributes:
        id: the number.
        concept: its concept.
        mask: bool (H, W).
    """

    id: int
    concept: str
    mask: Mask = field(repr=False)


@dataclass(frozen=True)
class IdentityScore:
    """How well things kept their numbers.

    Attributes:
        frames: number of frames.
        things: number of labelled things that some track matched.
        ids: number of different tracks that matched them, summed over the things; as many as things is best.
        switches: how often a thing's track was another than when it was last matched.
        visible: in how many frames things can be seen, summed over all things.
        matched: in how many of these a track matched.
    """

    frames: int = 0
    things: int = 0
    ids: int = 0
    switches: int = 0
    visible: int = 0
    matched: int = 0

    def __add__(self, other: IdentityScore) -> IdentityScore:
        return IdentityScore(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def switches_per_100(self) -> float:
        """Switches per 100 frames."""
        return 100 * self.switches / max(1, self.frames)

    @property
    def ids_per_thing(self) -> float:
        """Different tracks for each thing; 1 is best, NaN if nothing was matched."""
        return self.ids / self.things if self.things else float("nan")


def labelled_things(labels: NDArray[np.uint8], ids: NDArray[np.uint16], concepts: Mapping[int, str]) -> list[Numbered]:
    """Return the things of a labelled frame that are large enough to judge.

    Args:
        labels: concept of each pixel (H, W).
        ids: number of the thing that each pixel shows (H, W), 0 for none.
        concepts: the concepts to judge, by their index in ``labels``.
    """
    found = []
    for index, name in concepts.items():
        inside = labels == index
        numbers, pixels = np.unique(ids[inside], return_counts=True)
        found += [
            Numbered(int(number), name, inside & (ids == number))
            for number, count in zip(numbers, pixels, strict=True)
            if number and is_held(count)
        ]
    return found


class IdentityJudge:
    """Compares the tracks of one clip with its labelled things; give it every frame, in order."""

    def __init__(self) -> None:
        self._frames = self._switches = self._visible = self._matched = 0
        self._last: dict[tuple[str, int], int] = {}
        self._ids: dict[tuple[str, int], set[int]] = {}

    def add(self, things: Sequence[Numbered], tracks: Sequence[Numbered]) -> None:
        """Match the things of a frame with its tracks, one to one, the best first."""
        self._frames += 1
        self._visible += len(things)
        for thing, track in _pairs(things, tracks):
            key = (thing.concept, thing.id)
            self._matched += 1
            self._switches += self._last.get(key, track.id) != track.id
            self._last[key] = track.id
            self._ids.setdefault(key, set()).add(track.id)

    def score(self) -> IdentityScore:
        """Return the score of all frames so far."""
        ids = sum(len(found) for found in self._ids.values())
        return IdentityScore(self._frames, len(self._ids), ids, self._switches, self._visible, self._matched)


def _pairs(things: Sequence[Numbered], tracks: Sequence[Numbered]) -> Iterable[tuple[Numbered, Numbered]]:
    scored = [
        (mask_iou(thing.mask, track.mask), i, j)
        for i, thing in enumerate(things)
        for j, track in enumerate(tracks)
        if thing.concept == track.concept
    ]
    left, right = set(range(len(things))), set(range(len(tracks)))
    for iou, i, j in sorted(scored, reverse=True):
        if iou >= MATCHED and i in left and j in right:
            left.discard(i)
            right.discard(j)
            yield things[i], tracks[j]
