"""COCO's compressed run-length encoding of masks, without pycocotools and its compiler on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.image import MAX_PIXELS
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS = 5
_CHUNK = (1 << _BITS) - 1
_SIGN = 1 << (_BITS - 1)
_MORE = 1 << _BITS
_FIRST_CHARACTER = 48
_DELTA_FROM = 3
"""From the fourth count on, COCO stores the difference from the count two places earlier."""
_MAX_SHIFT = 60
"""Most bits of a count; no image has more pixels."""


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (H, W) as ``{"size": [H, W], "counts": str}``, readable by pycocotools.

    Runs go down the columns and begin with the zeros; the string packs each count in characters of five bits.
    """
    columns = np.ascontiguousarray(mask, dtype=bool).view(np.uint8)
    with NATIVE_CALL:
        flat = (cv2.transpose(columns) if columns.size else columns).ravel()  # much faster than numpy's "F"
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    if flat.size and flat[0]:
        counts.insert(0, 0)
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": pack_counts(counts)}


def pack_counts(counts: list[int]) -> str:
    """Return the lengths of the runs, beginning with the zeros, as COCO's compressed string."""
    values = (c - counts[i - 2] if i >= _DELTA_FROM else c for i, c in enumerate(counts))
    return "".join(chr(_FIRST_CHARACTER + chunk) for value in values for chunk in _chunks(value))


def _chunks(value: int) -> list[int]:
    out = []
    while True:
        chunk = value & _CHUNK
        value >>= _BITS
        done = value == (-1 if chunk & _SIGN else 0)
        out.append(chunk if done else chunk | _MORE)
        if done:
            return out


def decode_rle(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """Return the mask (H, W) of COCO's RLE; ``counts`` is the compressed string or a list of counts.

    Raises:
        InputError: size or counts do not have COCO's form, or the counts do not add up to the size.
    """
    height, width = rle_size(rle)
    if height * width > MAX_PIXELS:
        raise InputError(f"an RLE mask of {height}x{width} pixels; the limit is {MAX_PIXELS // 10**6} megapixels.")
    counts = rle_counts(rle)
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape((height, width), order="F")


def rle_counts(rle: dict[str, Any]) -> list[int]:
    """Return the lengths of the runs, beginning with the zeros, of COCO's RLE in either form.

    Raises:
        InputError: size or counts do not have COCO's form, or the counts do not add up to the size.
    """
    height, width = rle_size(rle)
    counts = _counts(rle.get("counts"))
    if sum(counts) != height * width or min(counts, default=0) < 0:
        raise InputError(f"an RLE mask holds {sum(counts)} pixels; expected {height}x{width} = {height * width}.")
    return counts


def rle_size(rle: dict[str, Any]) -> tuple[int, int]:
    """Return the height and width of COCO's RLE.

    Raises:
        InputError: the size is missing, or not two whole numbers above 0.
    """
    size = rle.get("size")
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(_is_count(side) and side > 0 for side in size):
        raise InputError(f"an RLE mask needs 'size': [height, width], got {size!r:.60}.")
    return int(size[0]), int(size[1])


def _is_count(value: Any) -> bool:
    """Return whether a number from JSON is whole (some tools write 12.0) and plausible as a count of pixels."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1 << _MAX_SHIFT and value == int(value)


def _counts(value: Any) -> list[int]:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return _unpack(value)
    if not isinstance(value, (list, tuple)) or not all(_is_count(count) for count in value):
        raise InputError(f"the counts of an RLE mask are a string or whole numbers, got {value!r:.60}.")
    return [int(count) for count in value]


def _unpack(text: str) -> list[int]:
    counts: list[int] = []
    value = shift = chunk = 0
    for character in text:
        chunk = ord(character) - _FIRST_CHARACTER
        if not 0 <= chunk <= _MORE + _CHUNK or shift > _MAX_SHIFT:
            raise InputError(f"the counts of an RLE mask hold {character!r}, which does not occur in compressed RLE.")
        value |= (chunk & _CHUNK) << shift
        shift += _BITS
        if chunk & _MORE:
            continue
        if chunk & _SIGN:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) >= _DELTA_FROM else value)
        value = shift = chunk = 0
    if chunk & _MORE:
        raise InputError("the counts of an RLE mask end in the middle of a number.")
    return counts
