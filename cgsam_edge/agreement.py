"""How well two masks or two sets of logits agree: each measure is defined here once; ``docs/metrics.md`` explains them.

Parity, the gate, comparisons, recorded examples, evaluation and the benchmarks all measure with these functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Float = NDArray[np.float32]

T = TypeVar("T")

MIN_PIXELS = 100
"""An image holds a concept when more valid pixels than this are labelled with it."""


@dataclass(frozen=True)
class Overlap:
    """Pixels that two masks share; overlaps of several pairs of masks can be added.

    Attributes:
        intersection: pixels in both masks.
        union: pixels in either mask.
    """

    intersection: int = 0
    union: int = 0

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(self.intersection + other.intersection, self.union + other.union)

    @property
    def iou(self) -> float:
        """Intersection over union; 1 where both masks are empty."""
        return self.intersection / self.union if self.union else 1.0


def overlap(a: Mask, b: Mask, valid: Mask | None = None) -> Overlap:
    """Count the pixels that two masks (H, W) share, leaving out those that are not valid (H, W)."""
    both, either = a & b, a | b
    if valid is not None:
        both, either = both & valid, either & valid
    return Overlap(int(np.count_nonzero(both)), int(np.count_nonzero(either)))


def mask_iou(a: Mask, b: Mask) -> float:
    """Return the intersection over union of two masks of one shape; 1 where both are empty."""
    return overlap(a, b).iou


def mask_ious(expected: Mask, got: Mask) -> list[float]:
    """Return the `mask_iou` of each pair of masks of two stacks (N, H, W)."""
    return [mask_iou(a, b) for a, b in zip(expected, got, strict=True)]


def labelled_pixels(truth: Mask | None, valid: Mask | None = None) -> int:
    """Return how many pixels of a label (H, W) are valid; 0 without a label."""
    if truth is None:
        return 0
    return int(np.count_nonzero(truth if valid is None else truth & valid))


def is_held(labelled: int) -> bool:
    """Return whether an image holds a concept, from its number of valid labelled pixels: more than `MIN_PIXELS`."""
    return labelled > MIN_PIXELS


def holds(truth: Mask | None, valid: Mask | None = None) -> bool:
    """Return whether an image holds a concept whose label is ``truth`` (H, W), see `is_held`; False without a label."""
    return is_held(labelled_pixels(truth, valid))


def label_overlap(mask: Mask, truth: Mask | None, valid: Mask | None = None) -> Overlap | None:
    """Count the valid pixels that a mask (H, W) shares with a label; None where the image does not hold the concept."""
    return overlap(mask, truth, valid) if truth is not None and holds(truth, valid) else None


@dataclass(frozen=True)
class Deviation:
    """The difference of two tensors, in standard deviations of the expected one.

    Attributes:
        rms: root mean square.
        max: the largest difference.
    """

    rms: float
    max: float


def deviation(expected: Float, got: Float) -> Deviation:
    """Measure how far a tensor is from the expected one of the same shape.

    An expected tensor without any spread is compared unscaled. NaN or infinity in ``got`` gives NaN or infinity.

    Raises:
        ValueError: the shapes differ.
    """
    if got.shape != expected.shape:  # which numpy might broadcast
        raise ValueError(f"expected a tensor of shape {expected.shape}, got {got.shape}.")
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(got.astype(np.float64) - expected) / (float(expected.std()) or 1.0)
        return Deviation(float(np.sqrt((difference**2).mean())), float(difference.max()))


def logit_error(expected: Float, got: Float) -> Deviation:
    """Measure how far mask logits are from the expected ones, at the size of the expected ones.

    Logits of another size, (h, w), are interpolated to the size of the expected ones; see `deviation`.
    """
    if got.shape != expected.shape:
        height, width = expected.shape
        with NATIVE_CALL:
            got = np.asarray(cv2.resize(got, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return deviation(expected, got)


def spread_evenly(items: Sequence[T], count: int) -> tuple[T, ...]:
    """Return ``count`` items spread over a sequence, in its order; all items if there are fewer."""
    total = len(items)
    return tuple(items) if count >= total else tuple(items[i * total // count] for i in range(count))
