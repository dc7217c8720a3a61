"""The gate's judgement of one target: how near its masks must be to the expected ones, and whether they are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cgsam_edge.quality.defaults import MAX_DROP
from cgsam_edge.quality.pairs import MaskPair, class_miou


@dataclass(frozen=True)
class GateLimits:
    """What passes.

    Attributes:
        min_iou: least mean mask IoU.
        max_drop: most loss of class mIoU.
    """

    min_iou: float
    max_drop: float = MAX_DROP


def counted(pairs: Sequence[MaskPair]) -> tuple[MaskPair, ...]:
    """Return the pairs that count: those that the reference calls present; all, where it calls none present."""
    return tuple(p for p in pairs if p.expected_present) or tuple(pairs)


@dataclass(frozen=True)
class TargetQuality:
    """What the gate found for one target.

    Attributes:
        target: its name.
        pairs: every concept asked for in every image.
        limits: what passes.
    """

    target: str
    pairs: tuple[MaskPair, ...]
    limits: GateLimits

    @property
    def counted(self) -> tuple[MaskPair, ...]:
        """The pairs that count: those that PyTorch calls present; all, where it calls none present."""
        return counted(self.pairs)

    @property
    def mean_iou(self) -> float:
        """Mean mask IoU over the pairs that count; NaN, which passes no limit, without any pair."""
        return statistics.fmean(p.iou for p in self.counted) if self.pairs else math.nan

    @property
    def by_concept(self) -> dict[str, float]:
        """Mean mask IoU of each concept."""
        names = dict.fromkeys(p.concept for p in self.counted)
        return {name: statistics.fmean(p.iou for p in self.counted if p.concept == name) for name in names}

    @property
    def worst_concept(self) -> tuple[str, float]:
        """The concept with the least mean mask IoU, and that."""
        return min(self.by_concept.items(), key=lambda item: item[1])

    @property
    def worst(self) -> MaskPair:
        """The pair with the least mask IoU."""
        return min(self.counted, key=lambda p: p.iou)

    @property
    def flipped(self) -> tuple[MaskPair, ...]:
        """The pairs whose presence decision changed."""
        return tuple(p for p in self.pairs if p.flipped)

    @property
    def flips(self) -> int:
        """How many presence decisions changed."""
        return len(self.flipped)

    @property
    def labelled(self) -> tuple[float, float] | None:
        """Class mIoU against labels, PyTorch's and the target's; None without labels."""
        before = class_miou((p.concept, p.labelled_before) for p in self.pairs)
        after = class_miou((p.concept, p.labelled_after) for p in self.pairs)
        return None if before is None or after is None else (before, after)

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not pass, a phrase each; empty where all does."""
        found = []
        if not self.mean_iou >= self.limits.min_iou:
            found.append(f"mean mask IoU {self.mean_iou:.4f}, at least {self.limits.min_iou:g} is needed")
        if self.labelled is not None and not self.labelled[0] - self.labelled[1] <= self.limits.max_drop:
            before, after = self.labelled
            found.append(f"class mIoU {before:.4f} → {after:.4f}, a drop of {self.limits.max_drop:g} is allowed")
        return tuple(found)

    @property
    def shortfall(self) -> float:
        """By how much it misses its limits, the two added up; 0 where it passes, infinite without any pair."""
        if not self.pairs:
            return math.inf
        before, after = self.labelled or (0.0, 0.0)
        below, beyond = self.limits.min_iou - self.mean_iou, before - after - self.limits.max_drop
        return max(0.0, below) + max(0.0, beyond)

    @property
    def passed(self) -> bool:
        """Whether everything passes."""
        return not self.problems
