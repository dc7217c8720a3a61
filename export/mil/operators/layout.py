"""Operators that move values without computing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from cgsam_edge.export.mil.operators.elementwise import tensor
from cgsam_edge.export.mil.operators.table import operator


def ints(values: Iterable[Any]) -> list[int]:
    """Return numbers as Python integers."""
    return [int(value) for value in values]


@operator("identity", moves=True)
def identity(x: Any) -> Any:
    """Return x."""
    return x


@operator("reshape", moves=True)
def reshape(x: Tensor, shape: Any) -> Tensor:
    """Return x in another shape, where 0 keeps a size and -1 takes the remaining size."""
    sizes = ints(shape)
    return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(sizes)])


@operator("transpose", moves=True)
def transpose(x: Tensor, perm: Any) -> Tensor:
    """Permute the axes."""
    return x.permute(ints(perm))


@operator("expand_dims", moves=True)
def expand_dims(x: Any, axes: Any) -> Tensor:
    """Insert axes of size 1 at these places of the output."""
    made = tensor(x)
    rank = made.ndim + len(axes)
    for axis in sorted(axis % rank for axis in ints(axes)):
        made = made.unsqueeze(axis)
    return made


@operator("squeeze", moves=True)
def squeeze(x: Tensor, axes: Any = None) -> Tensor:
    """Drop axes of size 1, all of them unless some are named."""
    return x.squeeze() if axes is None else x.squeeze(tuple(ints(axes)))


@operator("concat", moves=True)
def concat(values: list[Any], axis: int, interleave: bool = False) -> Tensor:  # noqa: FBT001, FBT002 — MIL's input
    """Join tensors along an axis; interleaved, one slice of each in turn."""
    parts = [tensor(value) for value in values]
    if not interleave:
        return torch.cat(parts, dim=axis)
    return torch.stack(parts, dim=axis % parts[0].ndim + 1).flatten(axis % parts[0].ndim, axis % parts[0].ndim + 1)


@operator("stack", moves=True)
def stack(values: list[Any], axis: int) -> Tensor:
    """Join tensors along a new axis."""
    return torch.stack([tensor(value) for value in values], dim=axis)


@operator("split", moves=True)
def split(x: Tensor, axis: int, num_splits: int | None = None, split_sizes: Any = None) -> list[Tensor]:
    """Cut along an axis, into equal parts or parts of given sizes."""
    if split_sizes is not None:
        return list(x.split(ints(split_sizes), dim=axis))
    assert num_splits is not None
    return list(x.split(x.shape[axis] // num_splits, dim=axis))


@operator("tile", moves=True)
def tile(x: Tensor, reps: Any) -> Tensor:
    """Repeat along each axis."""
    return x.repeat(ints(reps))


@operator("slice_by_index", moves=True)
def slice_by_index(
    x: Tensor,
    begin: Any,
    end: Any,
    stride: Any = None,
    begin_mask: Any = None,
    end_mask: Any = None,
    squeeze_mask: Any = None,
) -> Tensor:
    """Slice; a mask makes a bound open, or takes one index and drops the axis."""
    rank = x.ndim
    no = [False] * rank
    strides = [1] * rank if stride is None else ints(stride)
    opens = [begin_mask, end_mask, squeeze_mask]
    starts_open, ends_open, drops = (no if mask is None else [bool(v) for v in mask] for mask in opens)
    index: list[int | slice] = []
    for i in range(rank):
        start, stop = int(begin[i]), int(end[i])
        if drops[i]:
            index.append(start)
        else:
            index.append(slice(None if starts_open[i] else start, None if ends_open[i] else stop, strides[i]))
    return x[tuple(index)]


@operator("slice_by_size", moves=True)
def slice_by_size(x: Tensor, begin: Any, size: Any) -> Tensor:
    """Slice from a start, by sizes; -1 takes the rest."""
    for i, (start, count) in enumerate(zip(ints(begin), ints(size), strict=True)):
        x = x.narrow(i, start, x.shape[i] - start if count == -1 else count)
    return x


@operator("gather", moves=True)
def gather(
    x: Any,
    indices: Any,
    axis: int = 0,
    batch_dims: int = 0,
    validate_indices: bool = False,  # noqa: ARG001, FBT001, FBT002 — MIL's input
) -> Tensor:
    """Take slices along an axis by index."""
    if batch_dims:
        raise NotImplementedError("gather with batch dimensions")
    values, wanted = tensor(x), tensor(indices).long()
    axis %= values.ndim
    taken = values.index_select(axis, wanted.reshape(-1) % values.shape[axis])
    return taken.reshape(*values.shape[:axis], *wanted.shape, *values.shape[axis + 1 :])


@operator("gather_along_axis", moves=True)
def gather_along_axis(
    x: Any,
    indices: Any,
    axis: int = 0,
    validate_indices: bool = False,  # noqa: ARG001, FBT001, FBT002 — MIL's input
) -> Tensor:
    """Take values along an axis, an index for each."""
    values = tensor(x)
    return values.gather(axis, tensor(indices).long() % values.shape[axis])
