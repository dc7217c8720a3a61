"""How two masks or two sets of logits agree: the one definition of each measure; ``docs/metrics.md`` explains them.

Parity, the gate, comparisons, recorded examples, evaluation and the benchmarks all measure with these functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Float = NDArray[np.float32]

T = TypeVar("T")

MIN_PIXELS = 100
"""An image holds a concept when more valid pixels than this are labelled with it."""


@dataclass(frozen=True)
class Overlap:
    """Pixels that two masks share.

    Attributes:
        intersection: pixels in both masks.
        union: pixels in either mask.
    """

    intersection: int
    union: int

    @property
    def iou(self) -> float:
        """Intersection over union; 1 where both masks are empty."""
        return self.intersection / self.union if self.union else 1.0


def overlap(a: Mask, b: Mask, valid: Mask | None = None) -> Overlap:
    """Count the pixels that two masks (H, W) share, leaving out those that are not valid (H, W)."""
    if valid is not None:
        a, b = a & valid, b & valid
    return Overlap(int(np.count_nonzero(a & b)), int(np.count_nonzero(a | b)))


def mask_iou(a: Mask, b: Mask) -> float:
    """Return the intersection over union of two masks of one shape; 1 where both are empty."""
    return overlap(a, b).iou


def labelled_pixels(truth: Mask, valid: Mask | None) -> int:
    """Return how many pixels of a label (H, W) are valid."""
    return int(np.count_nonzero(truth if valid is None else truth & valid))


def holds(truth: Mask | None, valid: Mask | None = None) -> bool:
    """Return whether an image holds a concept: more than `MIN_PIXELS` of its valid pixels are labelled with it."""
    return truth is not None and labelled_pixels(truth, valid) > MIN_PIXELS


@dataclass(frozen=True)
class LogitError:
    """The difference of two sets of logits, in standard deviations of the expected ones.

    Attributes:
        rms: root mean square.
        max: the largest difference.
    """

    rms: float
    max: float


def logit_error(expected: Float, got: Float) -> LogitError:
    """Measure how far logits are from the expected ones.

    Where the two differ in size, ``got`` (h, w) is interpolated to the size of ``expected`` (h, w). Expected logits
    without any spread are compared as they are. NaN or infinity in ``got`` gives NaN or infinity.
    """
    if got.shape != expected.shape:
        height, width = expected.shape
        got = np.asarray(cv2.resize(got, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(got.astype(np.float64) - expected) / (float(expected.std()) or 1.0)
        return LogitError(float(np.sqrt((difference**2).mean())), float(difference.max()))


def presence_flips(decisions: Sequence[tuple[bool, bool]]) -> int:
    """Count the decisions "present" that differ between two models."""
    return sum(before != after for before, after in decisions)


def spread_evenly(items: Sequence[T], count: int) -> tuple[T, ...]:
    """Return ``count`` items from all over a sequence, in its order; all of them where there are fewer."""
    total = len(items)
    return tuple(items) if count >= total else tuple(items[i * total // count] for i in range(count))
