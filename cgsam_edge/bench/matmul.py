"""ONNX models of nothing but matrix products: what the machine could do."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.runtimes.tiny_onnx import FLOAT, INT8, UINT8, model, node, tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 1024
"""Rows and columns of the matrices: as many as tokens and channels of a SAM encoder."""

LAYERS = 8
"""Products one after the other, so that passing the input and the output hardly counts."""

MACS = LAYERS * SIDE**3
"""Multiply-adds of one run."""

_SHAPE = (SIDE, SIDE)


def float_model() -> bytes:
    """Return a model of `LAYERS` float32 products: ``x`` (SIDE, SIDE) to ``y`` (SIDE, SIDE)."""
    names = ["x", *(f"h{i}" for i in range(1, LAYERS)), "y"]
    nodes = [node("MatMul", [a, "w"], b) for a, b in pairwise(names)]
    return model(nodes, [tensor("w", FLOAT, _weights().astype(np.float32))], _SHAPE, _SHAPE)


def int8_model() -> bytes:
    """Return the same with inputs and weights of each product quantised to 8 bits, as the converters write it."""
    nodes = [node("DequantizeLinear", ["w", "ws", "wz"], "wf")]
    last = "x"
    for i in range(LAYERS):
        out = "y" if i == LAYERS - 1 else f"h{i}"
        nodes += [
            node("QuantizeLinear", [last, "xs", "xz"], f"q{i}"),
            node("DequantizeLinear", [f"q{i}", "xs", "xz"], f"d{i}"),
            node("MatMul", [f"d{i}", "wf"], out),
        ]
        last = out
    scale = float(np.abs(_weights()).max()) / 127
    constants = [
        tensor("w", INT8, np.round(_weights() / scale).astype(np.int8)),
        tensor("ws", FLOAT, np.float32(scale)),
        tensor("wz", INT8, np.int8(0)),
        tensor("xs", FLOAT, np.float32(6 / 255)),
        tensor("xz", UINT8, np.uint8(128)),
    ]
    return model(nodes, constants, _SHAPE, _SHAPE)


def _weights() -> NDArray[np.float64]:
    """Return weights that keep the size of what they multiply: float64 (SIDE, SIDE)."""
    weights: NDArray[np.float64] = np.random.default_rng(0).standard_normal((SIDE, SIDE)) / np.sqrt(SIDE)
    return weights
