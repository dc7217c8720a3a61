"""Small ONNX models of matrix products, written byte by byte: the runtime has no library for the format.

The field numbers are those of ``onnx.proto3``; protobuf writes a field as its number and kind, and then its value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

FLOAT, UINT8, INT8 = 1, 2, 3
_IR_VERSION, _OPSET = 8, 13
_VARINT, _BYTES = 0, 2


def model(nodes: list[bytes], constants: list[bytes], shape_in: tuple[int, ...], shape_out: tuple[int, ...]) -> bytes:
    """Return a model from ``x`` to ``y``, both float32.

    Args:
        nodes: of `node`.
        constants: of `tensor`.
        shape_in: of ``x``.
        shape_out: of ``y``.
    """
    graph = b"".join(_field(1, one) for one in nodes) + _field(2, b"products")
    graph += b"".join(_field(5, constant) for constant in constants)
    graph += _field(11, _value("x", shape_in)) + _field(12, _value("y", shape_out))
    opset = _field(1, b"") + _field(2, _OPSET)
    return _field(1, _IR_VERSION) + _field(7, graph) + _field(8, opset)


def node(kind: str, inputs: list[str], output: str) -> bytes:
    """Return an operation with one output, which also names it."""
    fed = b"".join(_field(1, name.encode()) for name in inputs)
    return fed + _field(2, output.encode()) + _field(3, output.encode()) + _field(4, kind.encode())


def tensor(name: str, kind: int, values: Any) -> bytes:
    """Return a constant of `FLOAT`, `UINT8` or `INT8`."""
    array = np.asarray(values)
    dims = b"".join(_field(1, size) for size in array.shape)
    return dims + _field(2, kind) + _field(8, name.encode()) + _field(9, array.tobytes())


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    sides = b"".join(_field(1, _field(1, side)) for side in shape)
    kind = _field(1, FLOAT) + _field(2, sides)
    return _field(1, name.encode()) + _field(2, _field(1, kind))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """Return seven bits a byte, the lowest first; the eighth says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
