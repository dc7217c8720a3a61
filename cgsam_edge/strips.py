"""Logits at an image's size, a strip of columns at a time, so that no float image of that size is ever in memory.

A strip equals the same part of `prompts.resize` exactly: OpenCV interpolates along rows first and columns second, and
does not change a side that keeps its length, so the two passes can be separated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.prompts import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

STRIP_BYTES = 16 * 2**20
"""Bytes of one strip of float32 logits; smaller images are a single strip."""

STACK_BYTES = 64 * 2**20
"""Bytes of the rows that are kept for several concepts at once."""


def strip_edges(width: int, height: int) -> list[int]:
    """Return the columns at which strips begin, and the width; strips are nearly equal, with two columns or more.

    For a single column, OpenCV takes another path, with different last bits.
    """
    count = max(1, min(-(-4 * width * height // STRIP_BYTES), width // 2))
    return [width * i // count for i in range(count + 1)]


def strips(logits: Float, width: int, height: int) -> Iterator[tuple[slice, Float]]:
    """Yield the logits (m, m) at an image's size from left to right: columns, and their logits (height, w)."""
    for columns, (strip,) in _stacked([logits], width, height):
        yield columns, strip


def label_strips(
    logits: Mapping[int, Float],
    width: int,
    height: int,
    in_full: Mapping[int, Iterator[tuple[slice, Float]]] = MappingProxyType({}),
) -> Iterator[tuple[slice, NDArray[np.int16]]]:
    """Yield the concept of each pixel: columns, and int16 (height, w), -1 for none.

    Args:
        logits: logits (m, m) of each concept that may have pixels, by its number.
        width: width of the image.
        height: height of the image.
        in_full: further concepts, by number: their strips at the image's size, as `strips` yields them.
    """
    numbers = sorted({*logits, *in_full})
    for columns, group in _stacked([logits[one] for one in numbers if one in logits], width, height):
        parts = (next(in_full[one])[1] if one in in_full else next(group) for one in numbers)
        yield columns, winners(numbers, parts, (height, columns.stop - columns.start))


def winners(numbers: Sequence[int], strips: Iterable[Float], shape: tuple[int, int]) -> NDArray[np.int16]:
    """Return the number whose logits are greatest at each place, int16, or -1 where none is above 0.

    Args:
        numbers: one for each of the strips.
        strips: logits, each of ``shape``; taken one by one.
        shape: of the strips.
    """
    labels = np.full(shape, -1, np.int16)
    best = np.zeros(shape, np.float32)
    for number, strip in zip(numbers, strips, strict=True):
        labels[strip > best] = number
        np.maximum(best, strip, out=best)
    return labels


def _stacked(logits: Sequence[Float], width: int, height: int) -> Iterator[tuple[slice, Iterator[Float]]]:
    """Yield columns, and the strips of several logits there, each computed on demand."""
    edges = strip_edges(width, height)
    if len(edges) == 2:
        yield slice(0, width), (resize(one, width, height) for one in logits)
        return
    for block in _blocks(edges, sum(4 * len(one) for one in logits)):
        first, last = block[0], block[-1]
        rows = [resize(one, width, len(one))[:, first:last].copy() for one in logits]
        for left, right in pairwise(block):
            inside = slice(left - first, right - first)
            yield slice(left, right), (_columns(one, inside, height) for one in rows)


def _columns(rows: Float, inside: slice, height: int) -> Float:
    part = np.ascontiguousarray(rows[:, inside])
    return resize(part, part.shape[1], height)


def _blocks(edges: list[int], bytes_a_column: int) -> Iterator[list[int]]:
    """Yield groups of strips, as edges, whose rows fit `STACK_BYTES` together; one strip at least."""
    most = max(1, STACK_BYTES // max(1, bytes_a_column))
    start = 0
    while start < len(edges) - 1:
        end = start + 1
        while end < len(edges) - 1 and edges[end + 1] - edges[start] <= most:
            end += 1
        yield edges[start : end + 1]
        start = end
