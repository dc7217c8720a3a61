"""The gate's verdict on one target: how close its masks must be to the expected ones, and whether they are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cgsam_edge.quality.defaults import LEAST_UNIT, MAX_DISAGREEMENT, MAX_DROP, MAX_FLIPS, MAX_SCORE_CHANGE
from cgsam_edge.quality.pairs import MaskPair, class_miou
from cgsam_edge.wording import amount


@dataclass(frozen=True)
class GateLimits:
    """The limits for passing.

    Attributes:
        min_iou: least mean mask IoU, where somebody named one; None judges each mask by its label, or else by other
            draws of points.
        max_drop: largest drop of class mIoU.
        max_disagreement: most 1 - mean mask IoU, in units of that of other draws of points.
        max_flips: share of presence decisions that may change.
        max_score_change: most mean change of the predicted IoU, where there are labels.
    """

    min_iou: float | None = None
    max_drop: float = MAX_DROP
    max_disagreement: float = MAX_DISAGREEMENT
    max_flips: float = MAX_FLIPS
    max_score_change: float = MAX_SCORE_CHANGE


def counted(pairs: Sequence[MaskPair]) -> tuple[MaskPair, ...]:
    """Return the pairs that count: those that the reference calls present, or all if it calls none present."""
    return tuple(p for p in pairs if p.expected_present) or tuple(pairs)


def mean_iou(pairs: Sequence[MaskPair]) -> float:
    """Return the mean mask IoU; NaN without any pair."""
    return statistics.fmean(p.iou for p in pairs) if pairs else math.nan


def drawn_iou(pairs: Sequence[MaskPair]) -> float | None:
    """Return the mean mask IoU of PyTorch with itself at other draws of its points; None where none was measured."""
    known = [p.drawn for p in pairs if p.drawn is not None]
    return statistics.fmean(known) if known else None


def unit_of(pairs: Sequence[MaskPair]) -> float:
    """Return what 1 - mean mask IoU is measured in: that of other draws, and never less than `LEAST_UNIT`."""
    drawn = drawn_iou(pairs)
    return LEAST_UNIT if drawn is None else max(LEAST_UNIT, 1 - drawn)


@dataclass(frozen=True)
class Measured:
    """One measure beside its limit.

    Attributes:
        value: as measured.
        limit: the most that passes.
        problem: what to say where it does not pass.
    """

    value: float
    limit: float
    problem: str

    @property
    def beyond(self) -> float:
        """By how much it misses its limit; 0 where it passes."""
        return 0.0 if self.value <= self.limit else self.value - self.limit

    @property
    def passed(self) -> bool:
        """Whether it passes; NaN does not."""
        return self.value <= self.limit


@dataclass(frozen=True)
class TargetQuality:
    """What the gate found for one target.

    Attributes:
        target: its name.
        pairs: every requested concept in every image.
        limits: the limits for passing.
    """

    target: str
    pairs: tuple[MaskPair, ...]
    limits: GateLimits

    @property
    def counted(self) -> tuple[MaskPair, ...]:
        """The pairs that count: those that PyTorch calls present, or all if it calls none present."""
        return counted(self.pairs)

    @property
    def compared(self) -> tuple[MaskPair, ...]:
        """The counted pairs whose mask IoU decides: all, or those that no label judges where labels judge others.

        A label judges a mask where the picture holds the concept, and also where it says that the concept is absent:
        what PyTorch shows there is noise, and presence and scores are judged regardless.
        """
        if self.limits.min_iou is not None or self.labelled is None:
            return self.counted
        return tuple(p for p in self.counted if p.labelled_before is None and not p.labelled_absent)

    @property
    def mean_iou(self) -> float:
        """Mean mask IoU over the pairs that count; without any pair NaN, which passes no limit."""
        return mean_iou(self.counted)

    @property
    def drawn_iou(self) -> float | None:
        """Mean mask IoU of PyTorch with itself at other draws of its points; None where that was not measured."""
        return drawn_iou(self.counted)

    @property
    def unit(self) -> float:
        """What 1 - mean mask IoU is measured in, see `unit_of`."""
        return unit_of(self.counted)

    @property
    def disagreement(self) -> float:
        """1 - mean mask IoU, in units of what other draws of the points do; NaN without any pair."""
        return (1 - self.mean_iou) / self.unit

    @property
    def least_iou(self) -> float | None:
        """The mean IoU of `compared` that passes: named, or what other draws allow; None where labels judge all."""
        if self.limits.min_iou is not None:
            return self.limits.min_iou
        if self.labelled and not self.compared:
            return None
        return 1 - self.limits.max_disagreement * unit_of(self.compared)

    @property
    def least_of_all(self) -> float | None:
        """`least_iou` where it is that of all pairs that count; None where labels judge some of them."""
        return self.least_iou if len(self.compared) == len(self.counted) else None

    @property
    def by_concept(self) -> dict[str, float]:
        """Mean mask IoU of each concept."""
        names = dict.fromkeys(p.concept for p in self.counted)
        return {name: statistics.fmean(p.iou for p in self.counted if p.concept == name) for name in names}

    @property
    def worst_concept(self) -> tuple[str, float]:
        """The concept with the lowest mean mask IoU, and that IoU."""
        return min(self.by_concept.items(), key=lambda item: item[1])

    @property
    def worst(self) -> MaskPair:
        """The pair with the lowest mask IoU."""
        return min(self.counted, key=lambda p: p.iou)

    @property
    def flipped(self) -> tuple[MaskPair, ...]:
        """The pairs whose presence decision changed."""
        return tuple(p for p in self.pairs if p.flipped)

    @property
    def flips(self) -> int:
        """Number of presence decisions that changed."""
        return len(self.flipped)

    @property
    def decisions(self) -> int:
        """How many presence decisions there are: pairs of calibrated concepts."""
        return sum(p.calibrated for p in self.pairs)

    @property
    def score_change(self) -> float:
        """Mean change of the predicted IoU over the pairs that count, its sign left out; NaN without any pair."""
        return statistics.fmean(abs(p.score_change) for p in self.counted) if self.pairs else math.nan

    @property
    def labelled(self) -> tuple[float, float] | None:
        """Class mIoU against labels, PyTorch's and the target's; None without labels."""
        before = class_miou((p.concept, p.labelled_before) for p in self.pairs)
        after = class_miou((p.concept, p.labelled_after) for p in self.pairs)
        return None if before is None or after is None else (before, after)

    @property
    def measures(self) -> tuple[Measured, ...]:
        """All that decides: each mask, by a named IoU, its label or other draws; and presence where calibrated."""
        return (*self._masks(), *self._by_labels(), *self._presence())

    @property
    def problems(self) -> tuple[str, ...]:
        """One phrase for each limit that is missed; empty if all pass."""
        return tuple(one.problem for one in self.measures if not one.passed)

    @property
    def shortfall(self) -> float:
        """By how much it misses its limits, all added up; 0 where it passes, infinite without any pair."""
        return sum(one.beyond for one in self.measures) if self.pairs else math.inf

    @property
    def passed(self) -> bool:
        """Whether everything passes."""
        return not self.problems

    def _masks(self) -> Iterator[Measured]:
        least, pairs = self.least_iou, self.compared
        if least is None:
            return
        mean, unit, drawn = mean_iou(pairs), unit_of(pairs), drawn_iou(pairs)
        whose = "" if len(pairs) == len(self.counted) else f" of the {amount(len(pairs), 'mask')} that no label judges"
        text = f"mean mask IoU{whose} {mean:.4f}, at least {least:.4g} is needed"
        if self.limits.min_iou is None:
            other = "" if drawn is None else f"; other points give {drawn:.4f}"
            text += f" ({(1 - mean) / unit:.2f} of the unit, at most {self.limits.max_disagreement:g}{other})"
        yield Measured(1 - mean, 1 - least, text)

    def _by_labels(self) -> Iterator[Measured]:
        if self.labelled is None:
            return
        (before, after), most = self.labelled, self.limits.max_drop
        yield Measured(before - after, most, f"class mIoU {before:.4f} → {after:.4f}, a drop of {most:g} is allowed")
        if self.limits.min_iou is None:
            change, limit = self.score_change, self.limits.max_score_change
            yield Measured(change, limit, f"scores changed by {change:.4f} in the mean, at most {limit:g} is allowed")

    def _presence(self) -> Iterator[Measured]:
        if not self.decisions or self.limits.min_iou is not None:
            return
        most = max(1, int(self.limits.max_flips * self.decisions))
        text = f"{self.flips} of {self.decisions} presence decisions flipped, at most {most} may"
        yield Measured(self.flips / self.decisions, most / self.decisions, text)
