"""Logistic scores of many concepts from few images of each: shared weights, and a deviation for each concept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.quality.observation import Observation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Double = NDArray[np.float64]

FOLDS = 5
"""Folds of the cross-validation; thresholds come from scores of images outside the fit."""

SHARED_RIDGE, OWN_RIDGE = 0.1, 2.0
"""Penalties of the shared weights, and of each concept's deviation from them."""


class SharedLogistic:
    """The probability that an image holds a concept, for concepts with enough images of both kinds.

    Args:
        observations: of usable concepts.
        usable: their indices in the vocabulary, ascending.
        evidence: numbers by which the probability is judged, (observations, numbers).
    """

    def __init__(self, observations: Sequence[Observation], usable: NDArray[np.int64], evidence: Double) -> None:
        self.mean, self.std = evidence.mean(axis=0), np.maximum(evidence.std(axis=0), 1e-6)
        self.inputs = np.column_stack([(evidence - self.mean) / self.std, np.ones(len(evidence))])
        self.which = np.searchsorted(usable, [o.concept for o in observations])
        self.held = np.array([o.held for o in observations], bool)
        self.images = np.array([o.image for o in observations])
        self.count = len(usable)

    def _solve(self, rows: NDArray[np.bool_]) -> Double:
        """Return standardised weights and biases (concepts, numbers + 1), fitted to some rows."""
        columns = self.inputs.shape[1]
        own = np.zeros((int(rows.sum()), self.count, columns))
        own[np.arange(len(own)), self.which[rows]] = self.inputs[rows]
        design = np.column_stack([self.inputs[rows], own.reshape(len(own), -1)])
        ridge = np.concatenate([np.full(columns, SHARED_RIDGE), np.full(self.count * columns, OWN_RIDGE)])
        ridge[columns + columns - 1 :: columns] = SHARED_RIDGE  # a concept's bias is well determined
        found = _logistic(design, self.held[rows].astype(np.float64), ridge)
        return np.asarray(found[:columns] + found[columns:].reshape(self.count, columns))

    def weights(self) -> Double:
        """Return weights and biases (concepts, numbers + 1) for evidence that is not standardised."""
        found = self._solve(np.ones(len(self.held), bool))
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
