"""A tiny ONNX model of matrix products, written byte by byte: the runtime has no library for the format.

The field numbers are those of ``onnx.proto3``; protobuf writes a field as its number and kind, and then its value.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 1024
"""Rows and columns of the matrices: as many as tokens and channels of a SAM encoder."""

LAYERS = 8
"""Products one after the other, so that passing the input and the output hardly counts."""

MACS = LAYERS * SIDE**3
"""Multiply-adds of one run."""

_FLOAT, _UINT8, _INT8 = 1, 2, 3
_IR_VERSION, _OPSET = 8, 13
_VARINT, _BYTES = 0, 2


def float_model() -> bytes:
    """Return a model of `LAYERS` float32 products: ``x`` (SIDE, SIDE) to ``y`` (SIDE, SIDE)."""
    names = ["x", *(f"h{i}" for i in range(1, LAYERS)), "y"]
    nodes = [_node("MatMul", [a, "w"], b) for a, b in pairwise(names)]
    return _model(nodes, [_tensor("w", _FLOAT, _weights().astype(np.float32))])


def int8_model() -> bytes:
    """Return the same with inputs and weights of each product quantised to 8 bits, as the converters write it."""
    nodes = [_node("DequantizeLinear", ["w", "ws", "wz"], "wf")]
    last = "x"
    for i in range(LAYERS):
        out = "y" if i == LAYERS - 1 else f"h{i}"
        nodes += [
            _node("QuantizeLinear", [last, "xs", "xz"], f"q{i}"),
            _node("DequantizeLinear", [f"q{i}", "xs", "xz"], f"d{i}"),
            _node("MatMul", [f"d{i}", "wf"], out),
        ]
        last = out
    scale = float(np.abs(_weights()).max()) / 127
    constants = [
        _tensor("w", _INT8, np.round(_weights() / scale).astype(np.int8)),
        _tensor("ws", _FLOAT, np.float32(scale)),
        _tensor("wz", _INT8, np.int8(0)),
        _tensor("xs", _FLOAT, np.float32(6 / 255)),
        _tensor("xz", _UINT8, np.uint8(128)),
    ]
    return _model(nodes, constants)


def _weights() -> NDArray[np.float64]:
    """Return weights that keep the size of what they multiply: float64 (SIDE, SIDE)."""
    weights: NDArray[np.float64] = np.random.default_rng(0).standard_normal((SIDE, SIDE)) / np.sqrt(SIDE)
    return weights


def _model(nodes: list[bytes], constants: list[bytes]) -> bytes:
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"products")
    graph += b"".join(_field(5, constant) for constant in constants)
    graph += _field(11, _value("x")) + _field(12, _value("y"))
    opset = _field(1, b"") + _field(2, _OPSET)
    return _field(1, _IR_VERSION) + _field(7, graph) + _field(8, opset)


def _node(kind: str, inputs: list[str], output: str) -> bytes:
    fed = b"".join(_field(1, name.encode()) for name in inputs)
    return fed + _field(2, output.encode()) + _field(3, output.encode()) + _field(4, kind.encode())


def _tensor(name: str, kind: int, values: Any) -> bytes:
    array = np.asarray(values)
    dims = b"".join(_field(1, size) for size in array.shape)
    return dims + _field(2, kind) + _field(8, name.encode()) + _field(9, array.tobytes())


def _value(name: str) -> bytes:
    side = _field(1, _field(1, SIDE))
    tensor = _field(1, _FLOAT) + _field(2, side + side)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """Return seven bits a byte, the lowest first; the eighth bit marks that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
