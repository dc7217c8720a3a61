"""Label Studio's run-length encoding of brush strokes: the package ``rle-pack`` of thi.ng, over RGBA values.

Label Studio's own encoder is in ``label-studio-sdk``, which replaces OpenCV's build and brings pandas and NLTK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.datasets.shapes import row_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORD_BITS = 8
_LENGTH_BITS = (3, 4, 8, 16)
"""Bits that a run's length may take; two bits before each length say which."""

_CHANNELS = 4
_INSIDE = 255


def encode_brush(mask: NDArray[np.bool_], box: tuple[int, int, int, int], size: tuple[int, int]) -> list[int]:
    """Return a mask as bytes, 0 to 255.

    Args:
        mask: bool (h, w), the part of the mask in its box.
        box: x, y, width and height of that part.
        size: width and height of the whole picture.
    """
    bits = [f"{_CHANNELS * size[0] * size[1]:032b}", f"{_WORD_BITS - 1:05b}", *(f"{n - 1:04b}" for n in _LENGTH_BITS)]
    for number, count in enumerate(_whole_counts(mask, box, size)):
        bits += _run(_CHANNELS * count, _INSIDE * (number % 2))
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _whole_counts(mask: NDArray[np.bool_], box: tuple[int, int, int, int], size: tuple[int, int]) -> list[int]:
    """Return the lengths of runs along the rows of the whole picture, beginning with the zeros."""
    (x, y, width, height), (whole, rows) = box, size
    wide = np.zeros((height, whole), bool)
    wide[:, x : x + width] = mask
    counts = row_counts(wide)
    counts[0] += y * whole
    rest = (rows - y - height) * whole
    if len(counts) % 2:
        counts[-1] += rest
        return counts
    return [*counts, rest]


def _run(length: int, value: int) -> list[str]:
    found = []
    while length:
        part = min(length, 1 << _LENGTH_BITS[-1])
        kind = next(i for i, bits in enumerate(_LENGTH_BITS) if part <= 1 << bits)
        found.append(f"1{kind:02b}{part - 1:0{_LENGTH_BITS[kind]}b}{value:08b}")
        length -= part
    return found
