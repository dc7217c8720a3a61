"""How far a target's masks are from the PyTorch model's, as values: what the gate judges and the report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cgsam_edge.quality.resolution import SizeSearch

MEAN_IOU_LIMITS = {"fp32": 0.98, "fp16": 0.98, "int8": 0.95}
"""Least mean mask IoU with PyTorch's masks that passes, by the lowest precision of a target's graphs."""

LABELLED_DROP_LIMIT = 0.01
"""Most class mIoU that a target may lose against PyTorch where labels are given."""


@dataclass(frozen=True)
class MaskPair:
    """One concept in one image, by PyTorch and by a target.

    Attributes:
        image: the picture.
        concept: its name.
        iou: of the two masks; 1 where both are empty.
        expected_present, present: the decision "present" before and after; both True where nothing was calibrated.
        calibrated: whether presence was.
        labelled_before, labelled_after: (intersection, union) with the label; None without labels or where the image
            does not hold the concept.
        error: root mean square error of the mask logits, in standard deviations.
    """

    image: Path
    concept: str
    iou: float
    expected_present: bool = True
    present: bool = True
    calibrated: bool = False
    labelled_before: tuple[int, int] | None = None
    labelled_after: tuple[int, int] | None = None
    error: float = 0.0


@dataclass(frozen=True)
class Limits:
    """What passes.

    Attributes:
        mean_iou: least mean mask IoU.
        labelled_drop: most loss of class mIoU.
    """

    mean_iou: float
    labelled_drop: float = LABELLED_DROP_LIMIT


@dataclass(frozen=True)
class TargetQuality:
    """What the gate found for one target.

    Attributes:
        target: its name.
        pairs: every concept asked for in every image.
        limits: what it was held to.
    """

    target: str
    pairs: tuple[MaskPair, ...]
    limits: Limits

    @property
    def counted(self) -> tuple[MaskPair, ...]:
        """The pairs that count: those that PyTorch calls present; all, where it calls none present."""
        return tuple(p for p in self.pairs if p.expected_present) or self.pairs

    @property
    def mean_iou(self) -> float:
        """Mean mask IoU over the pairs that count."""
        return float(np.mean([p.iou for p in self.counted]))

    @property
    def by_concept(self) -> dict[str, float]:
        """Mean mask IoU of each concept."""
        names = dict.fromkeys(p.concept for p in self.counted)
        return {name: float(np.mean([p.iou for p in self.counted if p.concept == name])) for name in names}

    @property
    def worst_concept(self) -> tuple[str, float]:
        """The concept with the least mean mask IoU, and that."""
        return min(self.by_concept.items(), key=lambda item: item[1])

    @property
    def worst(self) -> MaskPair:
        """The pair with the least mask IoU."""
        return min(self.counted, key=lambda p: p.iou)

    @property
    def flips(self) -> int:
        """Presence decisions that changed."""
        return sum(p.calibrated and p.expected_present != p.present for p in self.pairs)

    @property
    def labelled(self) -> tuple[float, float] | None:
        """Class mIoU against labels, PyTorch's and the target's; None without labels."""
        before = class_miou([(p.concept, p.labelled_before) for p in self.pairs])
        after = class_miou([(p.concept, p.labelled_after) for p in self.pairs])
        return None if before is None or after is None else (before, after)

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not pass, a phrase each; empty where all does."""
        found = []
        if not self.mean_iou >= self.limits.mean_iou:
            found.append(f"mean mask IoU {self.mean_iou:.4f}, at least {self.limits.mean_iou:g} is needed")
        if self.labelled is not None and not self.labelled[0] - self.labelled[1] <= self.limits.labelled_drop:
            before, after = self.labelled
            found.append(f"class mIoU {before:.4f} → {after:.4f}, a drop of {self.limits.labelled_drop:g} is allowed")
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Whether everything passes."""
        return not self.problems


@dataclass(frozen=True)
class Sensitivity:
    """What quantising one layer alone does to masks.

    Attributes:
        graph, layer: its name.
        mean_iou: mean mask IoU with only this layer quantised.
        error: root mean square error of the mask logits, in standard deviations.
    """

    graph: str
    layer: str
    mean_iou: float
    error: float


@dataclass(frozen=True)
class Kept:
    """A layer that stayed in higher precision, and why."""

    target: str
    graph: str
    layer: str
    reason: str


@dataclass(frozen=True)
class Latency:
    """Seconds of one graph on the exporting machine: opening it, the first run, and the median of warm runs."""

    open: float
    first: float
    warm: float


@dataclass(frozen=True)
class GraphQuality:
    """One graph of one target.

    Attributes:
        target, graph: names.
        precision: "fp32", "fp16", "int8" or another word of the target.
        bytes: of its files.
        macs: multiply-adds of one run; None where unknown.
        error: root mean square error of its outputs on the examples, in standard deviations; None where it was not run.
        latency: on the exporting machine; None where the engine cannot run there.
    """

    target: str
    graph: str
    precision: str
    bytes: int
    macs: int | None = None
    error: float | None = None
    latency: Latency | None = None


@dataclass(frozen=True)
class Quality:
    """All that an export found out about its own bundle; also what `cgsam compare` finds about two.

    Attributes:
        title: for the page.
        reference: what masks were compared with, such as "PyTorch, float32".
        pictures: names of the pictures, and where they came from, a line.
        targets: by target.
        graphs: each graph of each target.
        size: what another image size than the model's own cost and bought; None where it kept its own.
        kept: layers that stayed in higher precision.
        sensitivity: of layers, where it was measured, the most harmful first.
        notes: warnings and remarks, a line each.
        machine: processor, threads, versions, a line each.
        degraded: whether the bundle was written although the gate failed.
        comparison: whether two bundles were compared, of which none has to pass: the page then says "agrees" and
            "differs".
    """

    title: str
    reference: str
    pictures: str
    targets: tuple[TargetQuality, ...]
    graphs: tuple[GraphQuality, ...] = ()
    size: SizeSearch | None = None
    kept: tuple[Kept, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    notes: tuple[str, ...] = ()
    machine: tuple[str, ...] = field(default_factory=tuple)
    degraded: bool = False
    comparison: bool = False


def class_miou(pairs: Sequence[tuple[str, tuple[int, int] | None]]) -> float | None:
    """Return the mean over concepts of summed intersections over summed unions; None where nothing is labelled."""
    sums: dict[str, list[int]] = {}
    for concept, counts in pairs:
        if counts is not None:
            total = sums.setdefault(concept, [0, 0])
            total[0] += counts[0]
            total[1] += counts[1]
    known = [both / either for both, either in sums.values() if either]
    return float(np.mean(known)) if known else None
