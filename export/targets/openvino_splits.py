"""Layers whose outputs are cut in OpenVINO's graphs: a layer for each part leaves nothing to copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from cgsam_edge.runtimes import telemetry


def divide_cut_layers(model: Any) -> None:
    """Replace each layer of which only parts are used by a layer for each part, with the same weights.

    Parts of the last axis do not lie whole, so OpenVINO's CPU copies them, on one core. The layers after the first have
    its name and a number, so that all are quantised alike; a layer that runs twice, which has such numbers already, is
    left whole.
    """
    names = {op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() == "MatMul"}
    for cut in [op for op in model.get_ordered_ops() if op.get_type_name() == "VariadicSplit"]:
        layer = _layer_before(cut)
        if layer is not None and not _runs_twice(layer[0].get_friendly_name(), names):
            _divide(cut, *layer)


def _runs_twice(name: str, names: set[str]) -> bool:
    return "#" in name or f"{name}#2" in names


def _constant_of(node: Any) -> Any | None:
    """Return the constant that a node is, or widens from FP16; None where it is computed."""
    held = node.input_value(0).get_node() if node.get_type_name() == "Convert" else node
    return held if held.get_type_name() == "Constant" else None


def _layer_before(cut: Any) -> tuple[Any, Any | None] | None:
    """Return the product whose outputs are cut, and its bias; None where something else is cut."""
    port, axis = cut.input_value(0), cut.input_value(1).get_node()
    if axis.get_type_name() != "Constant" or int(axis.data.item()) % len(port.get_shape()) != len(port.get_shape()) - 1:
        return None
    node, bias = port.get_node(), None
    if len(port.get_target_inputs()) > 1:
        return None
    if node.get_type_name() == "Add":
        bias, node = node.input_value(1).get_node(), node.input_value(0).get_node()
        if _constant_of(bias) is None or len(node.output(0).get_target_inputs()) > 1:
            return None
    if node.get_type_name() != "MatMul" or node.get_attributes() != {"transpose_a": False, "transpose_b": True}:
        return None
    return None if _constant_of(node.input_value(1).get_node()) is None else (node, bias)


def _divide(cut: Any, product: Any, bias: Any | None) -> None:
    opset13 = telemetry.load("openvino.opset13")

    start = 0
    for number, out in enumerate(cut.outputs()):
        part = slice(start, start + int(out.get_shape()[-1]))
        weights = _part(product.input_value(1).get_node(), np.s_[part])
        made = opset13.matmul(product.input_value(0), weights, False, transpose_b=True)
        made.set_friendly_name(product.get_friendly_name() + (f"#{number + 1}" if number else ""))
        if bias is not None:
            made = opset13.add(made, _part(bias, np.s_[..., part]))
        out.replace(made.output(0))
        start = part.stop


def _part(node: Any, index: Any) -> Any:
    """Return a part of a constant, in the precision in which it is stored."""
    opset13, held = telemetry.load("openvino.opset13"), _constant_of(node)
    assert held is not None
    part = opset13.constant(np.ascontiguousarray(held.data[index]))
    return part if held is node else opset13.convert(part, "f32")
