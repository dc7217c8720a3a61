"""Clicks and boxes as a person would give them, from a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2
from cgsam_edge.quality.defaults import CLICKS, EVALUATION_MODES
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.encoded import Encoded
    from cgsam_edge.results import ConceptResult


@dataclass(frozen=True)
class LabelPrompting:
    """What an evaluation gives beside a concept's name.

    Attributes:
        mode: one of `EVALUATION_MODES`.
        clicks: with "clicks": the most, each on the greatest error of the mask so far, beginning with that from text.
        zoom: whether clicks or the box are zoomed in on.
    """

    mode: str = EVALUATION_MODES[0]
    clicks: int = CLICKS
    zoom: bool = False

    def check(self, slots: int) -> None:
        """Check the fields.

        Args:
            slots: of a bundle, for clicks.

        Raises:
            InputError: the mode is unknown, there are no clicks or too many, or there is nothing to zoom in on.
        """
        if self.mode not in EVALUATION_MODES:
            raise InputError(f"no mode {self.mode!r}; expected one of {', '.join(EVALUATION_MODES)}.")
        if self.clicks < 1:
            raise InputError(f"clicks must be 1 or more, got {self.clicks}.")
        if self.mode == "clicks" and self.clicks > slots:
            raise InputError(
                f"{self.clicks} clicks, but the bundle has {amount(slots, 'slot')} for them. Give fewer, or export the "
                f"bundle again with --prompt-slots {self.clicks}."
            )
        if self.zoom and self.mode == EVALUATION_MODES[0]:
            raise InputError(
                "zoom is for clicks and boxes; with names alone, leave it out, or cut the images into tiles."
            )


TEXT = LabelPrompting()
"""Names alone."""


def predict_with(
    encoded: Encoded,
    concept: str,
    prompting: LabelPrompting,
    truth: NDArray[np.bool_],
    valid: NDArray[np.bool_] | None,
) -> ConceptResult:
    """Segment one concept as a person would who knows the label.

    Args:
        encoded: the image.
        concept: name or synonym.
        prompting: how.
        truth: the label (H, W), which is not empty.
        valid: the pixels with labels (H, W); None for all.
    """
    if prompting.mode == "box":
        return encoded.predict(concept, box=box_around(truth), zoom=prompting.zoom)
    found, given, sides = encoded.predict(concept), np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    for _ in range(prompting.clicks if prompting.mode == "clicks" else 0):
        click = correction(found.mask, truth, valid, given)
        if click is None:
            break
        given, sides = np.concatenate([given, click[0][None]]), np.append(sides, np.float32(click[1]))
        found = encoded.predict(concept, given, sides, zoom=prompting.zoom)
    return found


def correction(
    mask: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    valid: NDArray[np.bool_] | None = None,
    given: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], bool] | None:
    """Return the click in the middle of a mask's thickest error, by which interactive segmentation is measured.

    Args:
        mask: (H, W).
        truth: the label (H, W).
        valid: the pixels with labels (H, W); None for all.
        given: earlier clicks (N, 2), whose pixels are not clicked again.

    Returns:
        (x, y) in pixels, float32 (2,), and whether the click is inside the label; None where the mask has no error.
    """
    wrong = mask ^ truth if valid is None else (mask ^ truth) & valid
    free = np.ones_like(wrong)
    if given is not None:
        free[given[:, 1].astype(int), given[:, 0].astype(int)] = False
    depth = np.maximum(*(_depth(wrong & side) for side in (truth, ~truth))) * free
    y, x = divmod(int(depth.argmax()), depth.shape[1])
    if not depth[y, x]:
        return None
    return np.array([x + 0.5, y + 0.5], np.float32), bool(truth[y, x])


def _depth(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how far each pixel of a mask (H, W) is from its edge; the picture's edge is one too."""
    padded = np.pad(mask, 1).astype(np.uint8)
    with NATIVE_CALL:
        found: NDArray[np.float32] = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return found


def box_around(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the box (x0, y0, x1, y1) whose edges touch all of a mask (H, W) that is not empty."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
