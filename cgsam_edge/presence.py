"""Is a concept in the image at all? Every concept gets a mask; presence decides which masks to trust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

EVIDENCE = ("predicted IoU", "stability", "confidence", "area", "similarity peak", "similarity contrast", "caption")
"""Numbers by which presence is judged, in the order of the calibration's weights; the graphs compute them anyway."""

COLUMNS = len(EVIDENCE) + 2
"""Columns: one weight per number, a bias and a threshold."""

MARGIN = 1.0
"""Shift of the logits' threshold, up and down, that hardly changes the area of a stable mask."""


@dataclass(frozen=True)
class LogitCounts:
    """What presence needs of a mask's logits; the counts of parts of a mask can be added.

    Attributes:
        total: how many logits there are.
        inside: how many are above 0.
        surely: how many are above `MARGIN`.
        possibly: how many are above -`MARGIN`.
        probability: mean of 1 / (1 + exp(-logit)) over those above 0; 0.5 without any.
    """

    total: int = 0
    inside: int = 0
    surely: int = 0
    possibly: int = 0
    probability: float = 0.5

    @classmethod
    def of(cls, logits: Float) -> LogitCounts:
        """Count logits of any shape."""
        inside = logits[logits > 0]
        probability = float((1 / (1 + np.exp(-inside))).mean()) if inside.size else 0.5
        surely, possibly = int((logits > MARGIN).sum()), int((logits > -MARGIN).sum())
        return cls(logits.size, inside.size, surely, possibly, probability)

    def __add__(self, other: LogitCounts) -> LogitCounts:
        inside = self.inside + other.inside
        summed = self.probability * self.inside + other.probability * other.inside
        return LogitCounts(
            self.total + other.total,
            inside,
            self.surely + other.surely,
            self.possibly + other.possibly,
            summed / inside if inside else 0.5,
        )


def evidence(logits: Float, iou: float, similarity: Float, class_token: Float, text: Float) -> Float:
    """Return the numbers by which presence is judged, float32 (7,), in the order of `EVIDENCE`.

    Args:
        logits: logits of the decoder, (m, m).
        iou: predicted IoU; clipped to 0 to 1.
        similarity: similarity s on CLIP's patches, (g, g).
        class_token: CLIP's feature of the whole image, (D,).
        text: text feature of the concept, (D,).
    """
    return evidence_of(LogitCounts.of(logits), iou, similarity, class_token, text)


def evidence_of(counts: LogitCounts, iou: float, similarity: Float, class_token: Float, text: Float) -> Float:
    """Return what `evidence` does, from counts of logits."""
    stability = counts.surely / max(1, counts.possibly)
    peak = float(similarity.max())
    caption = float(class_token @ text) / max(float(np.linalg.norm(class_token)), 1e-12)
    values = (
        min(1.0, max(0.0, iou)),
        stability,
        counts.probability,
        float(np.sqrt(counts.inside / counts.total)),
        peak,
        peak - float(similarity.mean()),
        caption,
    )
    return np.asarray(values, np.float32)


def judge(found: Float, calibration: Float) -> tuple[float, bool]:
    """Return the presence score, 0 to 1, and whether the concept counts as present.

    Args:
        found: from `evidence`.
        calibration: one weight per number, a bias and a threshold, (9,); NaN if nothing was calibrated: then the score
            is the predicted IoU, and the concept counts as present.
    """
    if not np.isfinite(calibration).all():
        return float(found[0]), True
    weights, bias, threshold = calibration[:-2], float(calibration[-2]), float(calibration[-1])
    score = 1 / (1 + float(np.exp(-np.clip(found @ weights + bias, -30, 30))))
    return score, score >= threshold


def uncalibrated(count: int, columns: int = COLUMNS) -> Float:
    """Return the table for ``count`` uncalibrated concepts: NaN, float32 (count, columns)."""
    return np.full((count, columns), np.nan, np.float32)
