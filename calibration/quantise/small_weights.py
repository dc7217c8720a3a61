"""Weights of four and eight bits in ONNX, which ONNX Runtime multiplies with inputs that it rounds as it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from cgsam_edge.calibration.four_bits import FourBits
from cgsam_edge.export.targets.onnxruntime import HALVED_SIZE

DOMAIN = "com.microsoft"

_INT8_PRODUCTS = 4
"""The operator's "accuracy_level" at which it rounds its inputs to eight bits, block by block: 1.7 times as fast as in
float32 on a processor with VNNI, and not slower on others."""


def pack_layers(model: Any, weights: Mapping[str, FourBits]) -> None:
    """Replace products, by the name of their node, with products of a weight in four bits.

    Args:
        model: with a weight (in, out) of each product.
        weights: the same, transposed and rounded.
    """
    if not weights:
        return
    held: dict[str, str] = {}
    for node in [n for n in model.graph.node if n.name in weights]:
        weight, source = weights[node.name], node.input[1]
        if source not in held:  # a layer that runs twice has one weight
            held[source] = _store(model, source, weight)
        out, blocks, block = weight.values.shape
        del node.input[1:]
        node.input.extend([f"{source}.four_bits", held[source]])
        node.op_type, node.domain = "MatMulNBits", DOMAIN
        sizes = {"K": blocks * block, "N": out, "bits": 4, "block_size": block, "accuracy_level": _INT8_PRODUCTS}
        node.attribute.extend(helper.make_attribute(name, value) for name, value in sizes.items())
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [t for t in model.graph.initializer if t.name not in used]:
        model.graph.initializer.remove(tensor)
    if DOMAIN not in {one.domain for one in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def _store(model: Any, name: str, weight: FourBits) -> str:
    """Add a weight's values and scales, and return the name of the scales in float32.

    The operator counts values from 0 to 15, of which 8 stands for 0.
    """
    packed = weight.packed ^ np.uint8(0x88)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(packed, f"{name}.four_bits"),
            numpy_helper.from_array(weight.scales, f"{name}.scales.fp16"),
        ]
    )
    widened = helper.make_node("Cast", [f"{name}.scales.fp16"], [f"{name}.scales"], to=TensorProto.FLOAT)
    model.graph.node.insert(0, widened)
    return f"{name}.scales"


def store_in_eight_bits(model: Any) -> None:
    """Store large float32 constants as int8 with a scale for each row, widened by operators that engines fold."""
    made = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < HALVED_SIZE or len(tensor.dims) < 2:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        rounded, scale = in_eight_bits(values)
        tensor.CopyFrom(numpy_helper.from_array(rounded, f"{name}.int8"))
        made += [(numpy_helper.from_array(scale, f"{name}.scale"), name)]
    nodes = []
    for scale, name in made:
        model.graph.initializer.append(scale)
        nodes.append(helper.make_node("Cast", [f"{name}.int8"], [f"{name}.wide"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name]))
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def in_eight_bits(values: Any) -> tuple[Any, Any]:
    """Round an array to int8, and return it with its scales, float32: one for each first index of its longest part.

    A convolution's weight (out, …) has a scale for each output, a table (1, n, …) one for each of n.
    """
    axis = next((i for i, size in enumerate(values.shape) if size > 1), 0)
    others = tuple(i for i in range(values.ndim) if i != axis)
    scale = np.maximum(np.abs(values).max(axis=others, keepdims=True), 1e-12).astype(np.float32) / 127
    return np.round(values / scale).astype(np.int8), scale
