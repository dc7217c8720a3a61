"""Pictures with more than 8 bits per channel: one rule for files and arrays.

Values are scaled by the full range of their depth. A file or array with 16 bits does not state how many of them its
values use; if the values are so low that a camera's 10, 12 or 14 bits are likelier, the caller has to state the depth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import ImageError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_BITS, MOST_BITS = 8, 16

_CONTAINERS = (2**16 - 1, 2**32 - 1)
"""Depths of containers, which also store values of fewer bits."""

_USUAL = (8, 10, 12, 14)
_LOW = 4
"""Values below this share of a container's range look like fewer bits: two bits are unused."""

_ROWS = 256
"""Number of values scaled at once."""


def check_bits(bits: int | None) -> None:
    """Raise `InputError` if this is not a valid depth."""
    if bits is None:
        return
    if not isinstance(bits, int) or isinstance(bits, bool) or not FEWEST_BITS <= bits <= MOST_BITS:
        raise InputError(f"bits must be a whole number from {FEWEST_BITS} to {MOST_BITS}, or None, got {bits!r}.")


def to_8_bits(array: NDArray[Any], full: int | None, bits: int | None, name: str) -> NDArray[np.uint8]:
    """Scale a picture to 0 to 255, rounding to the nearest.

    Args:
        array: (H, W) or (H, W, 3), whole numbers or floats.
        full: the maximum value of its file format or dtype; None if there is none, as for floats.
        bits: the depth that the caller states, or None.
        name: beginning of messages.

    Raises:
        ImageError: the depth is unclear, or a value exceeds it.
    """
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(f"{name}: holds NaN or infinity.")
    if bits is not None:
        top = (1 << bits) - 1
        if low < 0 or high > top:
            raise ImageError(f"{name}: holds values from {low:g} to {high:g}; {bits} bits go from 0 to {top}.")
        if array.dtype.kind == "f" and 0 < high <= 1:
            raise ImageError(
                f"{name}: holds floats from {low:g} to {high:g}, but {bits} bits go from 0 to {top}, and it would be "
                f"black. If they run from 0 to 1, multiply by {top}."
            )
    elif full is None:
        raise ImageError(
            f"{name}: holds floats from {low:g} to {high:g}, and guessing their range would change the masks. If they "
            "run from 0 to 1, multiply by 255 and round to uint8; if from 0 to 4095, pass bits=12 (--bits 12)."
        )
    else:
        top = full
        if low < 0 or (full in _CONTAINERS and 0 < high < (full + 1) // _LOW):
            raise ImageError(f"{name}: {_unclear(int(low), int(high), full)}")
    return _scaled(array, top)


def _unclear(low: int, high: int, full: int) -> str:
    depth = (full + 1).bit_length() - 1
    room = f"has {depth} bits a channel, but its values go from {low} to {high}"
    fitting = next((bits for bits in (*_USUAL, MOST_BITS) if high < 1 << bits), None)
    if low < 0 or fitting is None:
        return f"{room}; guessing their range would change the masks. Convert it to 8 bits first."
    return (
        f"{room}, as of {fitting} bits, and it would be nearly black. State the depth: --bits {fitting} "
        f"(in Python bits={fitting}), or {MOST_BITS} if the picture is that dark."
    )


def _scaled(array: NDArray[Any], top: int) -> NDArray[np.uint8]:
    scaled = np.empty(array.shape, np.uint8)
    table = None
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        table = np.floor(np.minimum(np.arange(2**16), top) * (255 / top) + 0.5).astype(np.uint8)
    for row in range(0, len(array), _ROWS):
        part = array[row : row + _ROWS]
        scaled[row : row + _ROWS] = np.floor(part * (255 / top) + 0.5) if table is None else table[part]
    return scaled
