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
    """Accuracy of the decision "present" over images that hold the concept and images without a pixel of it.

    Attributes:
        precision: share of "present" decisions that are right; None if nothing was called present.
        recall: share of held concepts that were called present; None if nothing is held.
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
        images: number of images that hold it.
        iou: summed intersections over summed unions of these images; None without any.
        presence: rates of the decision; None if nothing was calibrated.
    """

    concept: str
    images: int
    iou: float | None
    presence: PresenceRates | None = None


@dataclass(frozen=True)
class Skipping:
    """The effect of skipping concepts that similarity alone rules out.

    Attributes:
        skipped: share of all pairs that are skipped.
        class_miou: as in `Evaluation`, with empty masks for skipped concepts.
        presence: likewise, with skipped concepts counted as absent.
    """

    skipped: float
    class_miou: float | None
    presence: PresenceRates | None


@dataclass(frozen=True)
class Evaluation:
    """A bundle's accuracy.

    Attributes:
        mode: "text", "clicks" or "box".
        images: number of images.
        rows: by concept.
        pairs: every requested concept in every image.
        class_miou: mean of the rows' IoU; None without any.
        pair_miou: mean IoU over images and the concepts that they hold.
        presence_auroc: probability that a held concept has a higher presence than an absent one; None without both
            kinds.
        presence: rates over all calibrated concepts; None without any.
        skipping: the same with concepts ruled out in advance; None if the bundle rules nothing out.
        left_out: images and entries of a label file that were not used, each with the reason.
        notes: ambiguous labels.
        skipped_classes: classes of the labels that the bundle does not know.
        zoom: whether clicks or boxes were zoomed in on.
        tile, overlap: how images were cut into tiles, see `Segmenter.segment`; None without tiles.
        tile_side: the side of these tiles in pixels, also for the tile "auto".
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
    zoom: bool = False
    tile: str | int | None = None
    tile_side: int | None = None
    overlap: float | None = None


def summarise(mode: str, images: int, concepts: Sequence[str], pairs: Sequence[LabelPair]) -> Evaluation:
    """Summarise pairs; means leave out concepts without instances, and nothing silently becomes 0 or NaN."""
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
    """Return precision and recall of "present" over calibrated pairs that are clearly held or absent."""
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
