"""Fitting, on labelled images, when similarity alone rules a concept out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.presence import judge, uncalibrated
from cgsam_edge.quality.defaults import MAX_RECALL_LOSS
from cgsam_edge.quality.logistic import SharedLogistic
from cgsam_edge.quality.metrics import auroc
from cgsam_edge.quality.observation import Observation, count
from cgsam_edge.screening import COLUMNS, EVIDENCE_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Double = NDArray[np.float64]
    Bools = NDArray[np.bool_]

CONCEPT_SHARE = 2.0
"""A single concept may lose this many times the allowed share, so that the loss is not concentrated in one concept."""


@dataclass(frozen=True)
class ScreeningCalibration:
    """The result: the table for the vocabulary, and its effect on the calibration images.

    Attributes:
        table: float32 (N, 4), see `cgsam_edge.screening.Screened`; NaN rows for concepts that could not be calibrated.
        auroc: AUROC of the probabilities over all calibrated pairs, by cross-validation; None without any.
        recall_loss: share of the held pairs that presence finds and screening rules out.
        skipped: share of the absent pairs that screening rules out.
    """

    table: NDArray[np.float32]
    auroc: float | None
    recall_loss: float
    skipped: float

    def notes(self) -> dict[str, float | None]:
        """Return the numbers in the manifest's form."""
        return {"auroc": self.auroc, "recall_loss": self.recall_loss, "skipped": self.skipped}


def fit_screening(
    observations: Sequence[Observation],
    presence: NDArray[np.float32],
    max_recall_loss: float = MAX_RECALL_LOSS,
) -> ScreeningCalibration:
    """Fit each concept's probability from similarity alone, and the threshold below which it is ruled out.

    The threshold is the highest probability, the same for all concepts, at which at most ``max_recall_loss`` of the
    held pairs are lost, that is, called present by `judge` and ruled out; it is lower for a concept that would lose
    more than twice that share of its held pairs. Probabilities come from 5-fold cross-validation over images. Separate
    thresholds for each concept ruled out more on the calibration images, and lost twice as much on others.

    Args:
        observations: from `observe`.
        presence: when each concept counts as present, (N, 9), see `judge`.
        max_recall_loss: 0 to below 1.

    Raises:
        InputError: the loss is not such a number, or no concept is present in enough images and absent from enough.
    """
    check_loss(max_recall_loss)
    _, _, usable = count(observations, len(presence))
    used = [o for o in observations if o.concept in usable]
    data = SharedLogistic(used, usable, np.stack([o.evidence[list(EVIDENCE_COLUMNS)] for o in used]).astype(np.float64))
    scores, held = data.left_out_scores(), data.held
    found = held & np.array([judge(o.evidence, presence[o.concept])[1] for o in used], bool)
    thresholds = _thresholds(scores, held, found, data.which, max_recall_loss)
    table = uncalibrated(len(presence), COLUMNS)
    table[usable] = np.column_stack([data.weights(), thresholds])
    out = scores < thresholds[data.which]
    return ScreeningCalibration(
        table,
        auroc(scores[held].tolist(), scores[~held].tolist()),
        int((out & found).sum()) / int(held.sum()),
        float(out[~held].mean()),
    )


def check_loss(max_recall_loss: float) -> None:
    """Raise `InputError` if this is not a valid share of recall."""
    if not 0 <= max_recall_loss < 1:
        raise InputError(f"the recall that screening may lose must be from 0 to below 1, got {max_recall_loss!r}.")


def _thresholds(scores: Double, held: Bools, found: Bools, which: NDArray[np.int64], loss: float) -> Double:
    """Return each concept's threshold: the highest common one, lowered where a concept would lose too much."""
    of = [which == i for i in np.unique(which)]
    own = np.array([_affordable(scores[found & rows], CONCEPT_SHARE * loss * held[rows].sum()) for rows in of])
    capped = np.where(scores < own[which], scores, np.inf)  # a pair above every common threshold
    return np.asarray(np.minimum(own, _affordable(capped[found], loss * held.sum())))


def _affordable(found: Double, losses: float) -> float:
    """Return the highest threshold, at most 1, with at most ``losses`` of the found pairs below it."""
    return float(np.append(np.sort(found), np.full(int(losses) + 1, 1.0))[int(losses + 1e-9)].clip(max=1.0))
