"""Is a concept in the image at all? Every concept gets a mask; presence decides which masks to trust."""

from __future__ import annotations

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


def evidence(logits: Float, iou: float, similarity: Float, class_token: Float, text: Float) -> Float:
    """Return the numbers by which presence is judged, float32 (7,), in the order of `EVIDENCE`.

    Args:
        logits: logits of the decoder, (m, m).
        iou: predicted IoU; clipped to 0 to 1.
        similarity: similarity s on CLIP's patches, (g, g).
        class_token: CLIP's feature of the whole image, (D,).
        text: text feature of the concept, (D,).
    """
    inside = logits > 0
    confidence = float((1 / (1 + np.exp(-logits[inside]))).mean()) if inside.any() else 0.5
    stability = int((logits > MARGIN).sum()) / max(1, int((logits > -MARGIN).sum()))
    peak = float(similarity.max())
    caption = float(class_token @ text) / max(float(np.linalg.norm(class_token)), 1e-12)
    values = (
        min(1.0, max(0.0, iou)),
        stability,
        confidence,
        float(np.sqrt(inside.mean())),
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
