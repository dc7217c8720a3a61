"""Clicks and boxes as a person would give them, from a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge import prompts
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray


def prompt_of(mode: str, mask: NDArray[np.bool_], clicks: int) -> dict[str, Any]:
    """Return what `Encoded.predict` gets beside a concept's name.

    Args:
        mode: one of `EVALUATION_MODES`.
        mask: the label (H, W), which is not empty.
        clicks: number of clicks in the mode "clicks".
    """
    if mode == "clicks":
        return {"points": inner_points(mask, clicks)}
    return {"box": box_around(mask)} if mode == "box" else {}


def inner_points(mask: NDArray[np.bool_], count: int) -> NDArray[np.float32]:
    """Return at most ``count`` points (N, 2) well inside a mask (H, W), always the same ones.

    Candidates are at least half as far from the edge as the mask's innermost pixel; fixed priorities select among them.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    with NATIVE_CALL:
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    candidates = np.flatnonzero(depth >= depth.max() / 2)
    order = np.argsort(prompts.priority(candidates.astype(np.uint64)))[::-1][:count]
    chosen = candidates[order]
    return np.stack([chosen % mask.shape[1], chosen // mask.shape[1]], axis=1).astype(np.float32) + 0.5


def box_around(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the box (x0, y0, x1, y1) whose edges touch all of a mask (H, W) that is not empty."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
