"""Learning from labelled images when a concept counts as present."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.calibration.labels import LabelledImage
from cgsam_edge.calibration.metrics import MIN_PIXELS, auroc
from cgsam_edge.errors import InputError
from cgsam_edge.presence import uncalibrated
from cgsam_edge.segmenter import Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Double = NDArray[np.float64]

MIN_IMAGES = 5
"""Images that hold a concept, and images that do not, below which nothing is calibrated for it."""

FOLDS = 5
"""Thresholds come from scores of images that the weights were not fitted to."""

SHARED_RIDGE, OWN_RIDGE = 0.1, 2.0
"""Penalties of the weights that all concepts share, and of each concept's own deviation from them."""


@dataclass(frozen=True)
class Observation:
    """One concept in one image: what the graphs computed, and whether the image holds it.

    Attributes:
        image: number of the image.
        concept: its index in the vocabulary.
        evidence: float32 (7,), see `cgsam_edge.presence.EVIDENCE`.
        held: whether it is labelled there.
    """

    image: int
    concept: int
    evidence: NDArray[np.float32]
    held: bool


@dataclass(frozen=True)
class CalibratedConcept:
    """What calibration found for one concept, on images left out of the fit in turn.

    Attributes:
        name: the concept.
        held, absent: number of images.
        precision, recall: of "present" at the threshold; None where nothing was calibrated.
    """

    name: str
    held: int
    absent: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class PresenceCalibration:
    """The result: what goes into the vocabulary, and how good it is.

    Attributes:
        table: float32 (N, 9), see `cgsam_edge.presence.judge`; NaN rows for concepts that could not be calibrated.
        concepts: one entry per concept of the vocabulary.
        auroc: over all calibrated pairs, on images left out of the fit in turn; None without any.
    """

    table: NDArray[np.float32]
    concepts: tuple[CalibratedConcept, ...]
    auroc: float | None


def observe(
    segmenter: Segmenter,
    images: Iterable[LabelledImage],
    concepts: Sequence[str],
    progress: Callable[[int], object] = lambda _: None,
) -> list[Observation]:
    """Segment labelled images from text alone and keep what presence is judged by.

    Pairs with 1 to 100 labelled pixels are left out: they are neither.

    Args:
        segmenter: the opened bundle.
        images: labelled images; one at a time is kept.
        concepts: the labels' names, each of which the bundle must know.
        progress: called with the number of images done.

    Raises:
        UnknownConceptError: the bundle does not hold a concept.
    """
    vocabulary = segmenter.bundle.vocabulary
    indices = [vocabulary.index(name) for name in concepts]
    found = []
    for number, image in enumerate(images):
        result = segmenter.segment(image.path, concepts)
        for name, index in zip(concepts, indices, strict=True):
            truth = image.masks.get(name)
            pixels = 0 if truth is None else int((truth if image.valid is None else truth & image.valid).sum())
            if pixels == 0 or pixels > MIN_PIXELS:
                found.append(Observation(number, index, result[name].evidence, pixels > 0))
        progress(number + 1)
    return found


def fit(observations: Sequence[Observation], names: Sequence[str]) -> PresenceCalibration:
    """Fit a logistic score per concept, and the threshold at which recall minus false alarms is greatest.

    All concepts share weights, from which each may deviate a little (ridge); so few images suffice for each. The
    threshold maximises Youden's J = recall + specificity - 1, on scores from 5-fold cross-validation over images.

    Args:
        observations: from `observe`.
        names: all concepts of the vocabulary, in order.

    Raises:
        InputError: no concept is present in enough images and absent from enough.
    """
    held = np.array([sum(o.held for o in observations if o.concept == i) for i in range(len(names))])
    seen = np.array([sum(o.concept == i for o in observations) for i in range(len(names))])
    usable = np.flatnonzero((held >= MIN_IMAGES) & (seen - held >= MIN_IMAGES))
    if not len(usable):
        raise InputError(
            f"no concept is in {MIN_IMAGES} labelled images and absent from {MIN_IMAGES} others, so nothing can be "
            "learnt about presence. Give more labelled images, some of them without the concept."
        )
    used = [o for o in observations if o.concept in usable]
    data = _Data(used, usable)
    table = uncalibrated(len(names))
    table[usable, :-1] = data.weights(np.ones(len(used), bool))
    scores = data.left_out_scores()
    concepts = []
    for index, name in enumerate(names):
        of = np.array([o.concept == index for o in used], bool)
        precision = recall = None
        if index in usable:
            table[index, -1] = threshold = _threshold(scores[of], data.held[of])
            precision, recall = _precision_recall(scores[of] >= threshold, data.held[of])
        concepts.append(CalibratedConcept(name, int(held[index]), int(seen[index] - held[index]), precision, recall))
    return PresenceCalibration(table, tuple(concepts), auroc(scores[data.held].tolist(), scores[~data.held].tolist()))


class _Data:
    """Observations as arrays, standardised.

    Args:
        observations: of usable concepts.
        usable: their indices in the vocabulary.
    """

    def __init__(self, observations: Sequence[Observation], usable: NDArray[np.int64]) -> None:
        raw = np.stack([o.evidence for o in observations]).astype(np.float64)
        self.mean, self.std = raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-6)
        self.inputs = np.column_stack([(raw - self.mean) / self.std, np.ones(len(raw))])
        self.which = np.searchsorted(usable, [o.concept for o in observations])
        self.held = np.array([o.held for o in observations], bool)
        self.images = np.array([o.image for o in observations])
        self.count = len(usable)

    def _solve(self, rows: NDArray[np.bool_]) -> Double:
        """Return standardised weights and biases (concepts, 8), fitted to some rows."""
        columns = self.inputs.shape[1]
        own = np.zeros((int(rows.sum()), self.count, columns))
        own[np.arange(len(own)), self.which[rows]] = self.inputs[rows]
        design = np.column_stack([self.inputs[rows], own.reshape(len(own), -1)])
        ridge = np.concatenate([np.full(columns, SHARED_RIDGE), np.full(self.count * columns, OWN_RIDGE)])
        ridge[columns + columns - 1 :: columns] = SHARED_RIDGE  # a concept's own frequency is well known
        found = _logistic(design, self.held[rows].astype(np.float64), ridge)
        return np.asarray(found[:columns] + found[columns:].reshape(self.count, columns))

    def weights(self, rows: NDArray[np.bool_]) -> Double:
        """Return weights and biases (concepts, 8) for evidence as it is, fitted to some rows."""
        found = self._solve(rows)
        weights = found[:, :-1] / self.std
        return np.column_stack([weights, found[:, -1] - weights @ self.mean])

    def left_out_scores(self) -> Double:
        """Return the score of each observation from weights fitted without its image."""
        scores = np.zeros(len(self.held))
        folds = np.random.default_rng(0).permutation(int(self.images.max()) + 1)[self.images] % FOLDS
        for fold in range(FOLDS):
            out = folds == fold
            if out.any():
                found = self._solve(~out)
                scores[out] = _sigmoid((self.inputs[out] * found[self.which[out]]).sum(axis=1))
        return scores


def _sigmoid(values: Double) -> Double:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))))


def _logistic(inputs: Double, targets: Double, ridge: Double) -> Double:
    """Return the weights of a ridge-penalised logistic regression, by Newton's method."""
    weights = np.zeros(inputs.shape[1])
    for _ in range(30):
        chance = _sigmoid(inputs @ weights)
        gradient = inputs.T @ (chance - targets) + ridge * weights
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def _threshold(scores: Double, held: NDArray[np.bool_]) -> float:
    """Return the score, half-way between two neighbours, at which Youden's J is greatest."""
    order = np.unique(scores)
    edges = np.concatenate([[order[0] / 2], (order[1:] + order[:-1]) / 2, [(order[-1] + 1) / 2]])
    gains = [(scores[held] >= edge).mean() - (scores[~held] >= edge).mean() for edge in edges]
    return float(edges[int(np.argmax(gains))])


def _precision_recall(said: NDArray[np.bool_], held: NDArray[np.bool_]) -> tuple[float | None, float | None]:
    right = int((said & held).sum())
    return (right / int(said.sum()) if said.any() else None), (right / int(held.sum()) if held.any() else None)
