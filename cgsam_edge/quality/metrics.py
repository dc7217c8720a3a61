"""Accuracy against labels. ``docs/metrics.md`` defines every number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.results import ConceptResult

MIN_PIXELS = 100
"""An image holds a concept when more labelled pixels than this are of it."""


@dataclass(frozen=True)
class Pair:
    """One concept in one image.

    Attributes:
        image: its path.
        concept: its name.
        labelled: labelled pixels of the concept.
        intersection: pixels in both masks, ignored ones left out.
        union: pixels in either.
        score: the predicted IoU.
        presence: what tells present from absent, 0 to 1.
        present: the decision made of it; None where nothing was calibrated.
        ruled_out: whether similarity alone rules the concept out; None where the bundle rules nothing out.
    """

    image: Path
    concept: str
    labelled: int
    intersection: int
    union: int
    score: float
    presence: float
    present: bool | None = None
    ruled_out: bool | None = None

    @property
    def held(self) -> bool:
        """Whether the image holds the concept."""
        return self.labelled > MIN_PIXELS

    @property
    def iou(self) -> float:
        """Intersection over union; 0 where both masks are empty."""
        return self.intersection / self.union if self.union else 0.0


@dataclass(frozen=True)
class PresenceRates:
    """How right the decision "present" is, over images that hold the concept and images without a pixel of it.

    Attributes:
        precision: share of "present" that is right; None where nothing was called present.
        recall: share of what is held that was called present; None where nothing is held.
    """

    precision: float | None
    recall: float | None


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
    """

    mode: str
    images: int
    rows: tuple[ConceptRow, ...]
    pairs: tuple[Pair, ...]
    class_miou: float | None
    pair_miou: float | None
    presence_auroc: float | None
    presence: PresenceRates | None = None
    skipping: Skipping | None = None


def compare(
    image: Path,
    concept: str,
    truth: NDArray[np.bool_] | None,
    valid: NDArray[np.bool_] | None,
    found: ConceptResult,
    *,
    calibrated: bool,
) -> Pair:
    """Compare a result with its label (H, W); a truth of None is an absent concept."""
    mask = found.mask
    if truth is None:
        truth = np.zeros_like(mask)
    if valid is not None:
        mask, truth = mask & valid, truth & valid
    both, either = int((mask & truth).sum()), int((mask | truth).sum())
    present = found.present if calibrated else None
    return Pair(image, concept, int(truth.sum()), both, either, found.score, found.presence, present)


def summarise(mode: str, images: int, concepts: Sequence[str], pairs: Sequence[Pair]) -> Evaluation:
    """Put pairs together; means leave out what has no instance, and nothing is silently 0 or NaN."""
    held = [p for p in pairs if p.held]
    rows = tuple(_row(concept, [p for p in pairs if p.concept == concept]) for concept in concepts)
    return Evaluation(
        mode,
        images,
        rows,
        tuple(pairs),
        _class_miou(rows),
        float(np.mean([p.iou for p in held])) if held else None,
        auroc([p.presence for p in held], [p.presence for p in pairs if not p.labelled]),
        _rates(pairs),
        _skipping(concepts, pairs),
    )


def _class_miou(rows: Sequence[ConceptRow]) -> float | None:
    known = [row.iou for row in rows if row.iou is not None]
    return float(np.mean(known)) if known else None


def _skipping(concepts: Sequence[str], pairs: Sequence[Pair]) -> Skipping | None:
    if all(p.ruled_out is None for p in pairs):
        return None
    changed = [replace(p, intersection=0, union=p.labelled, present=False) if p.ruled_out else p for p in pairs]
    rows = [_row(concept, [p for p in changed if p.concept == concept]) for concept in concepts]
    return Skipping(float(np.mean([bool(p.ruled_out) for p in pairs])), _class_miou(rows), _rates(changed))


def _row(concept: str, pairs: list[Pair]) -> ConceptRow:
    held = [p for p in pairs if p.held]
    union = sum(p.union for p in held)
    iou = sum(p.intersection for p in held) / union if union else None
    return ConceptRow(concept, len(held), iou, _rates(pairs))


def _rates(pairs: Sequence[Pair]) -> PresenceRates | None:
    """Return precision and recall of "present" over calibrated pairs that are clearly one or the other."""
    clear = [p for p in pairs if p.present is not None and (p.held or not p.labelled)]
    if not clear:
        return None
    said, held = sum(bool(p.present) for p in clear), sum(p.held for p in clear)
    right = sum(bool(p.present) and p.held for p in clear)
    return PresenceRates(right / said if said else None, right / held if held else None)


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Return the area under the ROC curve: the Mann–Whitney statistic, ties counted half; None without both kinds."""
    if not positive or not negative:
        return None
    lower = np.sort(np.asarray(negative, np.float64))
    scores = np.asarray(positive, np.float64)
    below = np.searchsorted(lower, scores, side="left")
    not_above = np.searchsorted(lower, scores, side="right")
    return float((below + not_above).mean() / 2 / len(lower))
