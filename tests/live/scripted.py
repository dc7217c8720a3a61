"""Results of which a test says what is where: no engine, whole pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cgsam_edge.results import ABSENT_LOGIT, ConceptResult, Result

Box = tuple[int, int, int, int]

_NONE = np.zeros((0, 2), np.float32)


def boxes(size: tuple[int, int], *found: Box) -> NDArray[np.bool_]:
    """Return a mask (H, W) of rectangles (x, y, width, height)."""
    mask = np.zeros(size[::-1], bool)
    for x, y, width, height in found:
        mask[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)] = True
    return mask


def concept(
    name: str,
    logits: NDArray[np.float32],
    size: tuple[int, int],
    *,
    presence: float = 0.9,
    present: bool = True,
    skipped: bool = False,
) -> ConceptResult:
    """Return a concept whose logits (m, m) are given."""
    return ConceptResult(
        name=name,
        logits=np.full_like(logits, ABSENT_LOGIT) if skipped else logits,
        score=0.8,
        presence=presence,
        present=present,
        evidence=_NONE[:, 0],
        similarity=_NONE,
        points=_NONE,
        labels=_NONE[:, 0],
        box=None,
        image_size=size,
        skipped=skipped,
    )


def result(masks: Mapping[str, NDArray[np.bool_]], picture: Image.Image | None = None) -> Result:
    """Return a result with square masks (m, m), of a picture of that size unless another is given."""
    side = len(next(iter(masks.values())))
    image = Image.new("RGB", (side, side)) if picture is None else picture
    found = {
        name: concept(name, np.where(mask, 4, -4).astype(np.float32), image.size, present=bool(mask.any()))
        for name, mask in masks.items()
    }
    return Result(image, found)
