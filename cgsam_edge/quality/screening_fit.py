"""Learning from labelled images when similarity alone says that a concept is surely absent."""

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
"""How many times that share a single concept may lose: few images would otherwise let one pay for all."""


@dataclass(frozen=True)
class ScreeningCalibration:
    """The result: what goes into the vocabulary, and what it does on the calibration images.

    Attributes:
        table: float32 (N, 4), see `cgsam_edge.screening.Screened`; NaN rows for concepts that could not be calibrated.
        auroc: of the chances, over all calibrated pairs, on images left out of the fit in turn; None without any.
        recall_loss: share of the pairs that hold the concept which presence finds and screening rules out.
        skipped: share of the pairs without the concept that screening rules out.
    """

    table: NDArray[np.float32]
    auroc: float | None
    recall_loss: float
    skipped: float

    def notes(self) -> dict[str, float | None]:
        """Return the numbers as the manifest holds them."""
        return {"auroc": self.auroc, "recall_loss": self.recall_loss, "skipped": self.skipped}


def fit_screening(
    observations: Sequence[Observation],
    presence: NDArray[np.float32],
    max_recall_loss: float = MAX_RECALL_LOSS,
) -> ScreeningCalibration:
    """Fit each concept's chance from similarity alone, and the threshold below which it is surely absent.

    The threshold is the greatest chance, the same for all concepts, at which at most ``max_recall_loss`` of what the
    images hold is lost, that is called present by `judge` and ruled out; it is lower for a concept that would lose more
    than twice that share of its own. Chances are those of 5-fold cross-validation over images. A threshold for each
    concept by itself ruled out more on the calibration images, and lost twice as much on others.

    Args:
        observations: from `observe`.
        presence: when each concept counts as present, (N, 9), see `judge`.
        max_recall_loss: 0 to below 1.

    Raises:
        InputError: the loss is no such number, or no concept is present in enough images and absent from enough.
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
    """Raise `InputError` if no such share of recall can be lost."""
    if not 0 <= max_recall_loss < 1:
        raise InputError(f"the recall that screening may lose must be from 0 to below 1, got {max_recall_loss!r}.")


def _thresholds(scores: Double, held: Bools, found: Bools, which: NDArray[np.int64], loss: float) -> Double:
    """Return each concept's threshold: the greatest common one, and none at which a concept loses too much."""
    of = [which == i for i in np.unique(which)]
    own = np.array([_affordable(scores[found & rows], CONCEPT_SHARE * loss * held[rows].sum()) for rows in of])
    capped = np.where(scores < own[which], scores, np.inf)  # a pair that no common threshold reaches
    return np.asarray(np.minimum(own, _affordable(capped[found], loss * held.sum())))


def _affordable(found: Double, losses: float) -> float:
    """Return the greatest threshold that at most ``losses`` of the pairs found are below, at most 1."""
    return float(np.append(np.sort(found), np.full(int(losses) + 1, 1.0))[int(losses + 1e-9)].clip(max=1.0))
