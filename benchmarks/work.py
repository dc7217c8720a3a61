"""How much of a graph's work is in 8-bit integers."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

_PRODUCTS = ("MatMul", "Gemm")


def int8_macs(path: Path) -> int:
    """Return the multiply-adds of an ONNX graph's products with constants whose inputs and weights are quantised.

    Args:
        path: of a graph with ``QuantizeLinear`` and ``DequantizeLinear``, as ONNX Runtime's quantiser writes it.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(path, load_external_data=False), data_prop=True)
    graph = model.graph
    shapes: dict[str, list[int]] = {one.name: list(one.dims) for one in graph.initializer}
    shapes |= {one.name: _dims(one) for one in (*graph.input, *graph.output, *graph.value_info)}
    made = {name: node for node in graph.node for name in node.output}
    constants = {one.name for one in graph.initializer}
    return sum(
        _product(node, shapes)
        for node in graph.node
        if node.op_type in _PRODUCTS and _quantised(node.input[0], made) and _weights(node.input[1], made, constants)
    )


def _product(node: Any, shapes: dict[str, list[int]]) -> int:
    out, inner = shapes[node.output[0]], shapes[node.input[0]][-1]
    return prod(out) * inner


def _quantised(name: str, made: dict[str, Any]) -> bool:
    return name in made and made[name].op_type == "DequantizeLinear"


def _weights(name: str, made: dict[str, Any], constants: set[str]) -> bool:
    while name in made and made[name].op_type == "Transpose":
        name = made[name].input[0]
    return _quantised(name, made) and made[name].input[0] in constants


def _dims(value: Any) -> list[int]:
    return [int(one.dim_value) for one in value.type.tensor_type.shape.dim]
