"""Products, convolutions, norms, reductions, attention and resizing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cgsam_edge.export.mil.operators.elementwise import tensor
from cgsam_edge.export.mil.operators.layout import ints
from cgsam_edge.export.mil.operators.table import OPERATORS, Operator, operator

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@operator("linear")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x Wᵀ + b."""
    return F.linear(x, weight, bias)


@operator("matmul")
def matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:  # noqa: FBT001, FBT002
    """Return the product of two stacks of matrices."""
    a = x.transpose(-1, -2) if transpose_x else x
    b = y.transpose(-1, -2) if transpose_y else y
    return a @ b


@operator("scaled_dot_product_attention")
def attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """Return softmax(q kᵀ / √c + mask) v."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask)


@operator("conv")
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Any = None,
    pad_type: str = "valid",
    pad: Any = None,
    dilations: Any = None,
    groups: int = 1,
) -> Tensor:
    """Convolve; padding is written before and after each axis in turn."""
    spatial = x.ndim - 2
    stride, dilation = (ints(v) if v is not None else [1] * spatial for v in (strides, dilations))
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    before_after = _padding(pad_type, ints(x.shape[2:]), reach, stride, pad)
    if any(before_after):
        x = F.pad(x, [n for i in reversed(range(spatial)) for n in before_after[2 * i : 2 * i + 2]])
    return _CONVOLUTIONS[spatial](x, weight, bias, stride=stride, dilation=dilation, groups=groups)


def _padding(pad_type: str, sizes: list[int], reach: list[int], stride: list[int], pad: Any) -> list[int]:
    if pad_type == "valid":
        return [0] * 2 * len(sizes)
    if pad_type == "custom":
        return ints(pad)
    made = []
    for size, kernel, step in zip(sizes, reach, stride, strict=True):
        total = max(0, (math.ceil(size / step) - 1) * step + kernel - size)
        first = (total + 1) // 2 if pad_type == "same_lower" else total // 2
        made += [first, total - first]
    return made


@operator("conv_transpose")
def conv_transpose(  # noqa: PLR0913, PLR0917 — MIL's inputs
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: Any = None,
    output_shape: Any = None,
    pad_type: str = "valid",
    strides: Any = None,
    dilations: Any = None,
    groups: int = 1,
) -> Tensor:
    """Convolve transposed, then crop by the padding, or to the given shape."""
    spatial = x.ndim - 2
    if pad_type not in ("valid", "custom"):
        raise NotImplementedError(f"conv_transpose with pad_type {pad_type!r}")
    stride, dilation = (ints(v) if v is not None else [1] * spatial for v in (strides, dilations))
    full = _TRANSPOSED[spatial](x, weight, bias, stride=stride, dilation=dilation, groups=groups)
    crop = ints(pad) if pad_type == "custom" else [0] * 2 * spatial
    for i in range(spatial):
        size = full.shape[2 + i] - crop[2 * i] - crop[2 * i + 1]
        if output_shape is not None:
            size = int(output_shape[2 + i])
        full = full.narrow(2 + i, crop[2 * i], size)
    return full


@operator("layer_norm")
def layer_norm(
    x: Tensor,
    axes: Any = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalise over some axes, scale and shift."""
    over = sorted(axis % x.ndim for axis in ints(range(x.ndim) if axes is None else axes))
    if over == list(range(x.ndim - len(over), x.ndim)):
        return F.layer_norm(x, [x.shape[axis] for axis in over], gamma, beta, epsilon)
    variance, mean = torch.var_mean(x, dim=over, unbiased=False, keepdim=True)
    made = (x - mean) * (variance + epsilon).rsqrt()
    shape = [x.shape[axis] if axis in over else 1 for axis in range(x.ndim)]
    made = made if gamma is None else made * gamma.reshape(shape)
    return made if beta is None else made + beta.reshape(shape)


@operator("upsample_bilinear")
def upsample_bilinear(
    x: Tensor,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,  # noqa: FBT001, FBT002 — MIL's input and its default
    half_pixel_centers: bool | None = None,  # noqa: FBT001
) -> Tensor:
    """Resize the last two axes bilinearly, by the whole sizes that the factors give."""
    if half_pixel_centers is not None and half_pixel_centers == align_corners:
        raise NotImplementedError("upsample_bilinear with half_pixel_centers equal to align_corners")
    size = [math.floor(x.shape[-2] * scale_factor_height), math.floor(x.shape[-1] * scale_factor_width)]
    planes = x.reshape(1, -1, *x.shape[-2:])
    out = F.interpolate(planes, size, mode="bilinear", align_corners=bool(align_corners))
    return out.reshape(*x.shape[:-2], *size)


def _reduction(function: Callable[..., Tensor]) -> Operator:
    def compute(x: Tensor, axes: Any = None, keep_dims: bool = False) -> Tensor:  # noqa: FBT001, FBT002
        over = tuple(range(x.ndim)) if axes is None else tuple(ints(axes))
        return function(x, dim=over, keepdim=keep_dims)

    return Operator(compute)


OPERATORS |= {
    "reduce_l2_norm": _reduction(torch.linalg.vector_norm),
    "reduce_max": _reduction(torch.amax),
    "reduce_mean": _reduction(torch.mean),
    "reduce_min": _reduction(torch.amin),
    "reduce_sum": _reduction(torch.sum),
    "reduce_sum_square": _reduction(lambda x, dim, keepdim: x.square().sum(dim=dim, keepdim=keepdim)),
}


@operator("reduce_argmax")
def reduce_argmax(
    x: Any,
    axis: int = -1,
    keep_dims: bool = False,  # noqa: FBT001, FBT002 — MIL's input
    output_dtype: str = "int32",  # noqa: ARG001 — the declared type does it
) -> Tensor:
    """Return the index of the largest value."""
    return tensor(x).argmax(dim=axis, keepdim=keep_dims)
