"""Do masks and presence flicker? Successive frames against the labels of a clip."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.agreement import holds, mask_iou

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.results import ConceptResult

    Mask = NDArray[np.bool_]


@dataclass
class FlickerScore:
    """Counts over the frames and concepts of one or more clips.

    Attributes:
        frames: number of frames.
        steadiness: mask IoU of each pair of successive frames whose labels both hold the concept; pairs without any
            mask are left out, and a mask that comes or goes counts 0.
        label_steadiness: the same of the labels: what things that move would give.
        accuracy: mask IoU with the label, of each frame that holds the concept; a mask not shown counts as empty.
        blinks: how often presence changed from one frame to the next although the labels' did not.
        right: whether presence agreed with the labels, for each frame and concept.
    """

    frames: int = 0
    steadiness: list[float] = field(default_factory=list)
    label_steadiness: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    blinks: int = 0
    right: list[bool] = field(default_factory=list)

    @property
    def blinks_per_100(self) -> float:
        """Blinks per 100 frames, of all concepts together."""
        return 100 * self.blinks / max(1, self.frames)


@dataclass(frozen=True)
class _Seen:
    shown: Mask
    present: bool
    label: Mask
    held: bool


class FlickerJudge:
    """Adds the frames of one clip to a score; give it every frame, in order.

    Args:
        score: where to add.
        concepts: the concepts to judge, by their index in the labels.
    """

    def __init__(self, score: FlickerScore, concepts: dict[int, str]) -> None:
        self._score, self._concepts = score, concepts
        self._last: dict[str, _Seen] = {}

    def add(self, labels: NDArray[np.uint8], results: dict[str, ConceptResult]) -> None:
        """Judge a frame.

        Args:
            labels: concept of each pixel (H, W).
            results: what was found, by concept.
        """
        self._score.frames += 1
        for index, name in self._concepts.items():
            one, label = results[name], labels == index
            now = _Seen(one.mask if one.present else np.zeros_like(label), one.present, label, holds(label))
            self._score.right.append(now.held == now.present)
            if now.held:
                self._score.accuracy.append(mask_iou(now.shown, label))
            if name in self._last:
                self._compare(self._last[name], now)
            self._last[name] = now

    def _compare(self, before: _Seen, now: _Seen) -> None:
        self._score.blinks += before.present != now.present and before.held == now.held
        if before.held and now.held and (before.shown.any() or now.shown.any()):
            self._score.steadiness.append(mask_iou(before.shown, now.shown))
            self._score.label_steadiness.append(mask_iou(before.label, now.label))
