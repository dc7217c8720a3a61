"""Arithmetic, comparisons and activations, each element by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cgsam_edge.export.mil.operators.table import OPERATORS, Operator, operator


def tensor(value: Any) -> Tensor:
    """Return a constant or a computed value as a tensor."""
    return value if isinstance(value, Tensor) else torch.as_tensor(value)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def compute(x: Any, y: Any) -> Tensor:
        return function(tensor(x), tensor(y))

    return Operator(compute)


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    def compute(x: Any) -> Tensor:
        return function(tensor(x))

    return Operator(compute)


OPERATORS |= {
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "real_div": _binary(torch.div),
    "pow": _binary(torch.pow),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "equal": _binary(torch.eq),
    "not_equal": _binary(torch.ne),
    "less": _binary(torch.lt),
    "less_equal": _binary(torch.le),
    "greater": _binary(torch.gt),
    "greater_equal": _binary(torch.ge),
    "logical_and": _binary(torch.logical_and),
    "logical_or": _binary(torch.logical_or),
    "logical_not": _unary(torch.logical_not),
    "abs": _unary(torch.abs),
    "cos": _unary(torch.cos),
    "erf": _unary(torch.erf),
    "exp": _unary(torch.exp),
    "relu": _unary(torch.relu),
    "sigmoid": _unary(torch.sigmoid),
    "silu": _unary(F.silu),
    "sin": _unary(torch.sin),
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "tanh": _unary(torch.tanh),
}


@operator("rsqrt")
def rsqrt(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    """Return 1 / √(x + ε)."""
    return (x + epsilon).rsqrt()


@operator("inverse")
def inverse(x: Tensor, epsilon: float = 1e-4) -> Tensor:
    """Return 1 / (x + ε)."""
    return 1 / (x + epsilon)


@operator("clip")
def clip(x: Tensor, alpha: float, beta: float) -> Tensor:
    """Return x kept between α and β."""
    return x.clamp(alpha, beta)


@operator("select")
def select(cond: Any, a: Any, b: Any) -> Tensor:
    """Return a where the condition holds, else b."""
    return torch.where(tensor(cond).bool(), tensor(a), tensor(b))


@operator("gelu")
def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    """Return GELU in one of MIL's three forms."""
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    forms = {"EXACT": "none", "TANH_APPROXIMATION": "tanh"}
    return F.gelu(x, approximate=forms[mode])


@operator("cast")
def cast(x: Any, dtype: str) -> Tensor:
    """Return x in another type; that the evaluator rounds to the declared type does the rest."""
    kinds = {"fp16": torch.float32, "fp32": torch.float32, "int32": torch.int32, "int16": torch.int16}
    kinds |= {"uint16": torch.int32, "int8": torch.int8, "uint8": torch.uint8, "bool": torch.bool}
    return tensor(x).to(kinds[dtype])


@operator("softmax")
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return the softmax along an axis."""
    return x.softmax(dim=axis)
