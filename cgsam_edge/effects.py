"""Pictures made with masks: things blurred beyond recognition, and things without their background."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge.errors import InputError
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.results import Result

CELLS = 32
"""Cells along the longer side of a blurred picture: all that is left of what is blurred."""

_SMALLEST_CELL = 8
"""Pixels of a cell's side."""

_COLOUR_SIDES = 3


def blurred(result: Result, names: str | Iterable[str] | None, cells: int, margin: int | None) -> Image.Image:
    """Implement `Result.blurred`."""
    if not isinstance(cells, int) or isinstance(cells, bool) or cells < 1:
        raise InputError(f"cells must be a whole number, 1 or more, got {cells!r}.")
    width, height = result.image.size
    mask = grown(mask_of(result, names), _default_margin(result) if margin is None else margin)
    pixels = np.asarray(result.image)
    side = max(_SMALLEST_CELL, ceil(max(width, height) / cells))
    with NATIVE_CALL:
        coarse = cv2.resize(pixels, (ceil(width / side), ceil(height / side)), interpolation=cv2.INTER_AREA)
        coarse = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    np.copyto(coarse, pixels, where=~mask[..., None])
    return Image.fromarray(coarse)


def cut_out(result: Result, names: str | Iterable[str] | None, background: tuple[int, int, int] | None) -> Image.Image:
    """Implement `Result.cutout`."""
    if background is not None and not _is_colour(background):
        raise InputError(
            f"background must be three whole numbers from 0 to 255, red, green and blue, got {background!r}."
        )
    mask = mask_of(result, names)
    width, height = result.image.size
    pixels = np.zeros((height, width, 3 if background else 4), np.uint8)
    if background is None:
        pixels[..., 3] = np.where(
            mask, 255, 0
        )  # what is transparent is black too: a hidden background could be restored
    else:
        pixels[:] = background
    np.copyto(pixels[..., :3], np.asarray(result.image), where=mask[..., None])
    return Image.fromarray(pixels)


def mask_of(result: Result, names: str | Iterable[str] | None) -> NDArray[np.bool_]:
    """Return bool (H, W): the pixels of all named concepts that are present; None names all of the result.

    Raises:
        UnknownConceptError: the result does not hold one.
        InputError: the result does not hold the whole picture.
    """
    if result.image.size != result.image_size:
        raise InputError(
            f"the result holds a view of {result.image.width} x {result.image.height} pixels of a picture of "
            f"{result.image_size[0]} x {result.image_size[1]}, because it was read in windows; to blur or cut out, "
            "segment it as an array or a PIL image."
        )
    chosen = list(result) if names is None else [names] if isinstance(names, str) else list(names)
    width, height = result.image.size
    mask = np.zeros((height, width), bool)
    for concept in [result[name] for name in chosen]:
        if concept.present:
            mask |= concept.mask
    return mask


def grown(mask: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """Return a mask that reaches further by some pixels in each direction.

    Raises:
        InputError: the margin is not a whole number of 0 or more.
    """
    if not isinstance(margin, int) or isinstance(margin, bool) or margin < 0:
        raise InputError(f"margin must be a whole number of pixels, 0 or more, got {margin!r}.")
    if not margin:
        return mask
    with NATIVE_CALL:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
        wide: NDArray[np.bool_] = cv2.dilate(mask.view(np.uint8), kernel).view(bool)
    return wide


def _default_margin(result: Result) -> int:
    """Return the side of a cell of the decoder's mask in pixels: its borders are no more exact than that."""
    sides = [len(one.logits) for one in result.values()]
    return ceil(max(result.image.size) / min(sides)) if sides else 0


def _is_colour(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == _COLOUR_SIDES
        and all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= 255 for one in value)
    )
