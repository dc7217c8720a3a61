"""Accuracy against labels. ``docs/metrics.md`` defines every number."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cgsam_edge.agreement import Overlap
from cgsam_edge.quality.pairs import LabelPair, class_miou, concept_ious


@dataclass(frozen=True)
class PresenceRates:
    """How right the decision "present" is, over images that hold the concept and images without a pixel of it.

    Attributes:
        precision: share of "present" that is right; None where nothing was called present.
        recall: share of what is held that was called present; None where nothing is held.
    """

    precision: float | None
    recall: float | None

    @classmethod
    def of(cls, said: Sequence[bool], held: Sequence[bool]) -> PresenceRates:
        """Return the rates of decisions, given which of the concepts are held."""
        right = sum(a and b for a, b in zip(said, held, strict=True))
        return cls(right / sum(said) if any(said) else None, right / sum(held) if any(held) else None)


@dataclass(frozen=True)
class ConceptRow:
    """One concept over all images.

    Attributes:
        concept: its name.
        images: how many hold it.
        iou: sum of intersections over sum of unions over these; None where there is none.
        presence: of the decision; None where nothing was calibrated.
    """

    concept: str
    images: int
    iou: float | None
    presence: PresenceRates | None = None


@dataclass(frozen=True)
class Skipping:
    """What changes where concepts that similarity alone rules out are not computed.

    Attributes:
        skipped: share of all pairs.
        class_miou: as of `Evaluation`, the masks of skipped concepts being empty.
        presence: likewise, skipped concepts being absent.
    """

    skipped: float
    class_miou: float | None
    presence: PresenceRates | None


@dataclass(frozen=True)
class Evaluation:
    """A bundle's accuracy.

    Attributes:
        mode: "text" or "clicks".
        images: how many there were.
        rows: by concept.
        pairs: every concept asked for in every image.
        class_miou: mean of the rows' IoU; None without any.
        pair_miou: mean IoU over images and the concepts that they hold.
        presence_auroc: chance that a held concept has a higher presence than an absent one; None without both kinds.
        presence: of the decisions of all calibrated concepts; None without any.
        skipping: the same with concepts ruled out in advance; None where the bundle rules nothing out.
        left_out: images and entries of a label file that took no part, each with the reason.
        notes: labels that could have been meant otherwise than they were read.
        skipped_classes: classes of the labels that the bundle does not know.
    """

    mode: str
    images: int
    rows: tuple[ConceptRow, ...]
    pairs: tuple[LabelPair, ...]
    class_miou: float | None
    pair_miou: float | None
    presence_auroc: float | None
    presence: PresenceRates | None = None
    skipping: Skipping | None = None
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped_classes: tuple[str, ...] = ()


def summarise(mode: str, images: int, concepts: Sequence[str], pairs: Sequence[LabelPair]) -> Evaluation:
    """Put pairs together; means leave out what has no instance, and nothing is silently 0 or NaN."""
    held = [p for p in pairs if p.held]
    ious = concept_ious((p.concept, p.overlap) for p in held)
    return Evaluation(
        mode,
        images,
        tuple(_row(concept, [p for p in pairs if p.concept == concept], ious.get(concept)) for concept in concepts),
        tuple(pairs),
        class_miou((p.concept, p.overlap) for p in held),
        statistics.fmean(p.iou for p in held) if held else None,
        auroc([p.presence for p in held], [p.presence for p in pairs if not p.labelled]),
        _rates(pairs),
        _skipping(pairs),
    )


def _skipping(pairs: Sequence[LabelPair]) -> Skipping | None:
    if all(p.ruled_out is None for p in pairs):
        return None
    changed = [replace(p, overlap=Overlap(0, p.labelled), present=False) if p.ruled_out else p for p in pairs]
    miou = class_miou((p.concept, p.overlap) for p in changed if p.held)
    return Skipping(statistics.fmean(bool(p.ruled_out) for p in pairs), miou, _rates(changed))


def _row(concept: str, pairs: list[LabelPair], iou: float | None) -> ConceptRow:
    return ConceptRow(concept, sum(p.held for p in pairs), iou, _rates(pairs))


def _rates(pairs: Sequence[LabelPair]) -> PresenceRates | None:
    """Return precision and recall of "present" over calibrated pairs that are clearly one or the other."""
    clear = [p for p in pairs if p.present is not None and (p.held or not p.labelled)]
    return PresenceRates.of([bool(p.present) for p in clear], [p.held for p in clear]) if clear else None


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Return the area under the ROC curve: the Mann–Whitney statistic, ties counted half; None without both kinds."""
    if not positive or not negative:
        return None
    lower = np.sort(np.asarray(negative, np.float64))
    scores = np.asarray(positive, np.float64)
    below = np.searchsorted(lower, scores, side="left")
    not_above = np.searchsorted(lower, scores, side="right")
    return float((below + not_above).mean() / 2 / len(lower))
