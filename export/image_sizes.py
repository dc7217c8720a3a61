"""The image sizes to which a model can be resized."""

from __future__ import annotations

from typing import Literal

from cgsam_edge.errors import InputError

AUTO: Literal["auto"] = "auto"
"""Used instead of a size: the smallest one whose masks pass."""

STEP, SMALLEST, LARGEST = 64, 256, 1024
"""Sizes are multiples of 64, four tokens of 16 pixels: from 256 up, where a window of 14 tokens still fits the grid."""


def check_size(size: int) -> None:
    """Refuse an unsupported size.

    Raises:
        InputError: it is not a multiple of 64 from 256 to 1024.
    """
    if size % STEP or not SMALLEST <= size <= LARGEST:
        below, above = (min(max(SMALLEST, STEP * n), LARGEST) for n in (size // STEP, size // STEP + 1))
        near = f"{below} or {above}" if below != above else f"{below}"
        raise InputError(
            f"an image size must be a multiple of {STEP} from {SMALLEST} to {LARGEST} pixels, got {size}; the nearest "
            f"is {near}."
        )


def smaller_sizes(own: int) -> tuple[int, ...]:
    """Return the sizes below a model's own in ascending order."""
    return tuple(range(SMALLEST, own, STEP))
