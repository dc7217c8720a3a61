"""One concept in one image: a mask and its label, or the masks of two models."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from cgsam_edge.agreement import Overlap, is_held, label_overlap, labelled_pixels, logit_error, mask_iou, overlap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.results import ConceptResult

    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Pair:
    """One concept in one image.

    Attributes:
        image: the image's path.
        concept: the concept's name.
    """

    image: Path
    concept: str


@dataclass(frozen=True)
class LabelPair(Pair):
    """A mask and its label.

    Attributes:
        labelled: number of valid pixels labelled with the concept.
        overlap: overlap of mask and label in valid pixels.
        score: the predicted IoU.
        presence: presence score, 0 to 1.
        present: the decision based on it; None if nothing was calibrated.
        ruled_out: whether similarity alone rules the concept out; None if the bundle rules nothing out.
    """

    labelled: int
    overlap: Overlap
    score: float
    presence: float
    present: bool | None = None
    ruled_out: bool | None = None

    @property
    def held(self) -> bool:
        """Whether the image holds the concept."""
        return is_held(self.labelled)

    @property
    def iou(self) -> float:
        """IoU of mask and label."""
        return self.overlap.iou


@dataclass(frozen=True)
class MaskPair(Pair):
    """The masks of two models: the expected one and another.

    Attributes:
        iou: IoU of the two masks.
        expected_present, present: both models' decision "present"; True if presence is not calibrated.
        calibrated: whether presence is calibrated.
        labelled_before, labelled_after: each mask's overlap with the label; None without labels, or if the image does
            not hold the concept.
        error: root mean square error of the mask logits, in standard deviations of the expected ones.
        score_change: the predicted IoU less the expected model's.
        drawn: mean IoU of the expected mask with those that the expected model gives for other points; None where it
            was not asked.
        labelled_absent: whether the picture's labels say that it does not hold the concept.
    """

    iou: float
    expected_present: bool = True
    present: bool = True
    calibrated: bool = False
    labelled_before: Overlap | None = None
    labelled_after: Overlap | None = None
    error: float = 0.0
    score_change: float = 0.0
    drawn: float | None = None
    labelled_absent: bool = False

    @property
    def flipped(self) -> bool:
        """Whether the decision "present" changed; always False if presence is not calibrated."""
        return self.calibrated and self.expected_present != self.present


class Predicted(Protocol):
    """A model's result for one concept in one image of width W and height H."""

    @property
    def mask(self) -> Mask:
        """Bool (H, W)."""

    @property
    def logits(self) -> NDArray[np.float32]:
        """Float32 (m, m), the decoder's."""

    @property
    def score(self) -> float:
        """The predicted IoU."""

    @property
    def present(self) -> bool:
        """Whether the concept counts as present."""


def pair_with_label(
    image: Path, concept: str, truth: Mask | None, valid: Mask | None, found: ConceptResult, *, calibrated: bool
) -> LabelPair:
    """Compare a result with its label (H, W); without a label the concept is absent."""
    counts = overlap(found.mask, np.zeros_like(found.mask) if truth is None else truth, valid)
    present = found.present if calibrated else None
    return LabelPair(image, concept, labelled_pixels(truth, valid), counts, found.score, found.presence, present)


def pair_of_masks(
    pair: Pair,
    models: tuple[Predicted, Predicted],
    label: tuple[Mask | None, Mask | None],
    *,
    calibrated: bool,
    drawn: float | None = None,
    labelled_absent: bool = False,
) -> MaskPair:
    """Compare the results of two models.

    Args:
        pair: image and concept.
        models: the expected result, and the other one.
        label: the label (H, W) and its valid pixels (H, W), or None.
        calibrated: whether presence is calibrated in both.
        drawn: see `MaskPair`.
        labelled_absent: see `MaskPair`.
    """
    expected, got = models
    before, after = expected.mask, got.mask
    present = (expected.present, got.present) if calibrated else (True, True)
    labelled = label_overlap(before, *label), label_overlap(after, *label)
    error, change = logit_error(expected.logits, got.logits).rms, got.score - expected.score
    iou = mask_iou(before, after)
    return MaskPair(
        pair.image, pair.concept, iou, *present, calibrated, *labelled, error, change, drawn, labelled_absent
    )


def concept_ious(overlaps: Iterable[tuple[str, Overlap | None]]) -> dict[str, float]:
    """Return the IoU of each concept: summed intersections over summed unions of the images that hold it.

    Args:
        overlaps: concepts, and the overlap of mask and label in one image; None if the image does not hold the concept.
    """
    sums: dict[str, Overlap] = {}
    for concept, counts in overlaps:
        if counts is not None:
            sums[concept] = sums.get(concept, Overlap()) + counts
    return {concept: total.iou for concept, total in sums.items()}


def class_miou(overlaps: Iterable[tuple[str, Overlap | None]]) -> float | None:
    """Return the mean of `concept_ious`; None if no image holds any concept."""
    ious = concept_ious(overlaps)
    return statistics.fmean(ious.values()) if ious else None


class _WithIou(Protocol):
    @property
    def iou(self) -> float: ...


P = TypeVar("P", bound=_WithIou)


def extremes(pairs: Sequence[P], worst: int = 3, median: int = 2, best: int = 2) -> list[tuple[str, P]]:
    """Return ("worst" | "median" | "best", pair) by IoU, no pair twice; with few pairs, the worst are preferred."""
    ordered = sorted(pairs, key=lambda pair: pair.iou)
    lowest, rest = ordered[:worst], ordered[worst:]
    highest, rest = rest[max(0, len(rest) - best) :], rest[: max(0, len(rest) - best)]
    start = max(0, (len(rest) - median) // 2)
    chosen = (("worst", lowest), ("median", rest[start : start + median]), ("best", highest))
    return [(kind, pair) for kind, some in chosen for pair in some]
