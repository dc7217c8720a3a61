"""Layers whose outputs are cut in OpenVINO's graphs: a layer for each part leaves nothing to copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from cgsam_edge.runtimes import telemetry


def divide_cut_layers(model: Any) -> None:
    """Replace each layer of which only parts are used by a layer for each part, with the same weights.

    Parts of the last axis do not lie whole, so OpenVINO's CPU copies them, on one core. The layers after the first have
    its name and a number, so that all are quantised alike.
    """
    for cut in [op for op in model.get_ordered_ops() if op.get_type_name() == "VariadicSplit"]:
        layer = _layer_before(cut)
        if layer is not None:
            _divide(cut, *layer)


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
        if bias.get_type_name() != "Constant" or len(node.output(0).get_target_inputs()) > 1:
            return None
    if node.get_type_name() != "MatMul" or not node.get_attributes()["transpose_b"]:
        return None
    return node, bias


def _divide(cut: Any, product: Any, bias: Any | None) -> None:
    opset13 = telemetry.load("openvino.opset13")

    weights, start = product.input_value(1).get_node(), 0
    halved = weights.get_type_name() == "Convert"
    held = weights.input_value(0).get_node() if halved else weights
    for number, out in enumerate(cut.outputs()):
        end = start + int(out.get_shape()[-1])
        part = opset13.constant(np.ascontiguousarray(held.data[start:end]))
        made = opset13.matmul(
            product.input_value(0), opset13.convert(part, "f32") if halved else part, False, transpose_b=True
        )
        made.set_friendly_name(product.get_friendly_name() + (f"#{number + 1}" if number else ""))
        if bias is not None:
            made = opset13.add(made, opset13.constant(np.ascontiguousarray(bias.data[..., start:end])))
        out.replace(made.output(0))
        start = end
