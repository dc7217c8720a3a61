"""Compressed constants and quantised values: ``constexpr_`` operators, ``quantize`` and ``dequantize``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cgsam_edge.export.mil.operators.elementwise import tensor
from cgsam_edge.export.mil.operators.layout import ints
from cgsam_edge.export.mil.operators.table import operator

_RANGES = {"int8": (-128, 127), "uint8": (0, 255)}


def _along(value: Any, rank: int, axis: int | None) -> Tensor:
    """Return a scalar, or a vector shaped to broadcast along one axis."""
    made = tensor(value).float()
    if made.ndim == 0 or axis is None:
        return made
    return made.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


@operator("constexpr_affine_dequantize", "dequantize")
def dequantize(
    quantized_data: Any = None, scale: Any = None, zero_point: Any = None, axis: int | None = None, **other: Any
) -> Tensor:
    """Return scale · (data - zero point), scale and zero point being one or one a channel."""
    data = tensor(other.pop("input") if quantized_data is None else quantized_data).float()
    if other:
        raise TypeError(f"unexpected inputs {', '.join(other)}")
    shift = 0 if zero_point is None else _along(zero_point, data.ndim, axis)
    return (data - shift) * _along(scale, data.ndim, axis)


@operator("quantize")
def quantize(scale: Any, output_dtype: str, zero_point: Any = None, axis: int | None = None, **other: Any) -> Tensor:
    """Return round(x / scale) + zero point, kept in the range of the type."""
    x: Tensor = other.pop("input")
    if other:
        raise TypeError(f"unexpected inputs {', '.join(other)}")
    shift = 0 if zero_point is None else _along(zero_point, x.ndim, axis)
    return ((x / _along(scale, x.ndim, axis)).round() + shift).clamp(*_RANGES[output_dtype])


@operator("constexpr_blockwise_shift_scale")
def blockwise_shift_scale(data: Any, scale: Tensor, offset: Any = None) -> Tensor:
    """Return scale · (data - offset), each block of the data having its own of both."""
    values = tensor(data).float()
    if offset is not None:
        values = values - _repeat(tensor(offset).float(), values)
    return values * _repeat(scale, values)


def _repeat(small: Tensor, like: Tensor) -> Tensor:
    """Repeat each element to fill its block."""
    for axis, (have, want) in enumerate(zip(small.shape, like.shape, strict=True)):
        if 1 < have < want:  # of size 1 broadcasts by itself
            small = small.repeat_interleave(want // have, dim=axis)
    return small


@operator("constexpr_lut_to_dense")
def lut_to_dense(indices: Any, lut: Tensor, shape: Any = None, vector_axis: int | None = None) -> Tensor:
    """Return a palette's values: iOS 16's form has packed indices and a shape, iOS 18's a palette a block."""
    if shape is not None:
        bits = int(np.log2(len(lut)))
        return lut[torch.as_tensor(_unpack(indices, bits, ints(shape)))].reshape(ints(shape))
    places = tensor(indices).long()
    if lut.shape[-1] > 1:
        return _vectors(places, lut, vector_axis)
    blocks = [torch.arange(n) * have // n for n, have in zip(places.shape, lut.shape[:-2], strict=True)]
    grid = torch.meshgrid(*blocks, indexing="ij")
    index = (*grid, places)
    return lut[index].squeeze(-1)


def _vectors(places: Tensor, lut: Tensor, vector_axis: int | None) -> Tensor:
    """Return what a palette of vectors, one for all blocks, lays along an axis."""
    assert vector_axis is not None
    if any(size != 1 for size in lut.shape[:-2]):
        raise NotImplementedError("constexpr_lut_to_dense with several palettes of vectors")
    found = lut.reshape(lut.shape[-2:])[places]  # (..., vector)
    axis = vector_axis % places.ndim
    return found.movedim(-1, axis + 1).flatten(axis, axis + 1)


def _unpack(packed: Any, bits: int, shape: list[int]) -> Any:
    """Return unsigned numbers of some bits that lie in bytes, the lowest bit first."""
    count = int(np.prod(shape))
    flags = np.unpackbits(np.asarray(packed, np.uint8), bitorder="little")[: count * bits].reshape(count, bits)
    return flags.astype(np.int64) @ (1 << np.arange(bits))


@operator("constexpr_cast")
def constexpr_cast(source_val: Tensor, output_dtype: str) -> Tensor:  # noqa: ARG001 — the declared type does it
    """Return the constant."""
    return source_val
