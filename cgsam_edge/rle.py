"""COCO's compressed run-length encoding of masks, without pycocotools and its compiler on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from cgsam_edge.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS = 5
_CHUNK = (1 << _BITS) - 1
_SIGN = 1 << (_BITS - 1)
_MORE = 1 << _BITS
_FIRST_CHARACTER = 48
_DELTA_FROM = 3
"""From the fourth count on, COCO stores the difference from the count two before."""


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (H, W) as ``{"size": [H, W], "counts": str}``, readable by pycocotools.

    Runs go down the columns and begin with the zeros; the string packs each count in characters of five bits.
    """
    columns = np.ascontiguousarray(mask, dtype=bool).view(np.uint8)
    flat = (cv2.transpose(columns) if columns.size else columns).ravel()  # several times as fast as numpy's order="F"
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    if flat.size and flat[0]:
        counts.insert(0, 0)
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": _pack(counts)}


def _pack(counts: list[int]) -> str:
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
        InputError: the counts do not fill the size.
    """
    height, width = rle["size"]
    counts = _unpack(rle["counts"]) if isinstance(rle["counts"], str) else list(rle["counts"])
    if sum(counts) != height * width or min(counts, default=0) < 0:
        raise InputError(f"an RLE mask holds {sum(counts)} pixels; expected {height}x{width} = {height * width}.")
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape((height, width), order="F")


def _unpack(text: str) -> list[int]:
    counts: list[int] = []
    value = shift = 0
    for character in text:
        chunk = ord(character) - _FIRST_CHARACTER
        value |= (chunk & _CHUNK) << shift
        shift += _BITS
        if chunk & _MORE:
            continue
        if chunk & _SIGN:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) >= _DELTA_FROM else value)
        value = shift = 0
    return counts
