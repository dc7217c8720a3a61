"""Fitting, on labelled images, when a concept counts as present."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.presence import uncalibrated
from cgsam_edge.quality.logistic import SharedLogistic
from cgsam_edge.quality.metrics import PresenceRates, auroc
from cgsam_edge.quality.observation import Observation, count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Double = NDArray[np.float64]


@dataclass(frozen=True)
class CalibratedConcept:
    """The calibration of one concept, evaluated by cross-validation.

    Attributes:
        name: the concept.
        held, absent: number of images with and without the concept.
        precision, recall: of "present" at the threshold; None if nothing was calibrated.
    """

    name: str
    held: int
    absent: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class PresenceCalibration:
    """The result: the table for the vocabulary, and its accuracy.

    Attributes:
        table: float32 (N, 9), see `cgsam_edge.presence.judge`; NaN rows for concepts that could not be calibrated.
        concepts: one entry per concept of the vocabulary.
        auroc: over all calibrated pairs, by cross-validation; None without any.
    """

    table: NDArray[np.float32]
    concepts: tuple[CalibratedConcept, ...]
    auroc: float | None


def fit(observations: Sequence[Observation], names: Sequence[str]) -> PresenceCalibration:
    """Fit a logistic score per concept, and the threshold that maximises recall minus false positive rate.

    All concepts share weights, from which each may deviate a little (ridge), so that few images suffice for each. The
    threshold maximises Youden's J = recall + specificity - 1, on scores from 5-fold cross-validation over images.

    Args:
        observations: from `observe`.
        names: all concepts of the vocabulary, in order.

    Raises:
        InputError: no concept is present in enough images and absent from enough.
    """
    held, seen, usable = count(observations, len(names))
    used = [o for o in observations if o.concept in usable]
    data = SharedLogistic(used, usable, np.stack([o.evidence for o in used]).astype(np.float64))
    table = uncalibrated(len(names))
    table[usable, :-1] = data.weights()
    scores = data.left_out_scores()
    concepts = []
    for index, name in enumerate(names):
        of = np.array([o.concept == index for o in used], bool)
        rates = PresenceRates(None, None)
        if index in usable:
            table[index, -1] = threshold = _threshold(scores[of], data.held[of])
            rates = PresenceRates.of((scores[of] >= threshold).tolist(), data.held[of].tolist())
        absent = int(seen[index] - held[index])
        concepts.append(CalibratedConcept(name, int(held[index]), absent, rates.precision, rates.recall))
    return PresenceCalibration(table, tuple(concepts), auroc(scores[data.held].tolist(), scores[~data.held].tolist()))


def _threshold(scores: Double, held: NDArray[np.bool_]) -> float:
    """Return the score, half-way between two neighbours, that maximises Youden's J."""
    order = np.unique(scores)
    edges = np.concatenate([[order[0] / 2], (order[1:] + order[:-1]) / 2, [(order[-1] + 1) / 2]])
    gains = [(scores[held] >= edge).mean() - (scores[~held] >= edge).mean() for edge in edges]
    return float(edges[int(np.argmax(gains))])
