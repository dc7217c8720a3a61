"""The OpenVINO target: an ``.xml`` and a ``.bin`` per graph, converted from ONNX in OpenVINO's preferred form."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.layers import convolutions, quantisable
from cgsam_edge.export.graphs.variants import for_openvino
from cgsam_edge.export.targets import onnxruntime
from cgsam_edge.export.targets.openvino_halving import halve_by_means
from cgsam_edge.export.targets.openvino_splits import divide_cut_layers
from cgsam_edge.manifest import GraphSpec, TensorSpec
from cgsam_edge.runtimes import telemetry

TARGET = "openvino"


def convert(graph: Graph, folder: Path, precision: str) -> GraphSpec:
    """Write one graph in OpenVINO's format.

    The graph goes through ONNX, so that both engines compute the same operations with the same rounded weights; the
    file of the target "onnxruntime" is reused if the bundle has it and both use the same form of the graph.

    Args:
        graph: what to write.
        folder: the bundle being written; the files go into ``openvino/``.
        precision: "fp32" or "fp16", of the stored weights.

    Raises:
        ExportError: the conversion failed.
    """
    variant = replace(graph, module=for_openvino(graph.module))
    ready = folder / onnxruntime.TARGET / f"{graph.name}.onnx"
    path = folder / TARGET / f"{graph.name}.xml"
    path.parent.mkdir(exist_ok=True)
    if ready.exists() and variant.module is graph.module:
        model = _write(graph, ready, path)
    else:
        with tempfile.TemporaryDirectory(dir=folder) as made:
            spec = onnxruntime.convert(variant, Path(made), precision)
            model = _write(graph, Path(made) / spec.path, path)
    return GraphSpec(f"{TARGET}/{path.name}", precision, _specs(model.inputs), _specs(model.outputs))


def _write(graph: Graph, source: Path, path: Path) -> Any:
    openvino = telemetry.load("openvino")
    try:
        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # the source may be removed while the model is in use
        model = core.read_model(str(source))
        halve_by_means(model)
        _turn_weights(model)
        divide_cut_layers(model)
        _end_in_products(model)
        _name(model, graph)
        openvino.serialize(model, str(path), str(path.with_suffix(".bin")))
    except RuntimeError as error:
        raise ExportError(f"the graph {graph.name!r} could not be converted to OpenVINO: {error}") from error
    if model.is_dynamic():
        raise ExportError(f"the graph {graph.name!r} has dynamic shapes; NPUs need fixed ones.")
    return model


def _turn_weights(model: Any) -> None:
    """Store each layer's weights as (outputs, inputs): the CPU would transpose others, and keep both copies."""
    opset13 = telemetry.load("openvino.opset13")

    products = [op for op in reversed(model.get_ordered_ops()) if op.get_type_name() == "MatMul"]
    while products:
        product = products.pop()  # so that a replaced weight is freed at once
        weights, turns = product.input_value(1).get_node(), product.get_attributes()
        halved = weights.get_type_name() == "Convert"
        constant = weights.input_value(0).get_node() if halved else weights
        if constant.get_type_name() != "Constant" or len(constant.shape) != 2 or turns["transpose_b"]:
            continue
        turned = opset13.constant(np.ascontiguousarray(constant.data.T))  # written only once if a layer runs twice
        if halved:
            turned = opset13.convert(turned, "f32")
        made = opset13.matmul(product.input_value(0), turned, turns["transpose_a"], transpose_b=True)
        made.set_friendly_name(product.get_friendly_name())
        product.output(0).replace(made.output(0))


def _end_in_products(model: Any) -> None:
    """Multiply each output that is a sum of features, such as SAM's tokens, by the identity: exact in float32.

    In BF16, OpenVINO's CPU leaves in float32 what lies between an output and the products before it. From such a sum
    that is every sum of all blocks, with a conversion before and after each layer: 4 % of the graph's time, or more.
    With the product these sums are rounded to BF16 too, so how good BF16 is there is what the export's proof measures.
    """
    opset13 = telemetry.load("openvino.opset13")

    for result in model.get_results():
        port = result.input_value(0)
        if not _is_sum(port):
            continue
        names, width = port.get_names(), int(port.get_shape()[-1])
        side = math.gcd(width, _IDENTITY_SIDE)
        parts = opset13.reshape(port, opset13.constant(np.array([-1, side])), special_zero=False)
        same = opset13.matmul(parts, opset13.constant(np.eye(side, dtype=np.float32)), False, transpose_b=True)
        whole = opset13.reshape(same, opset13.constant(np.array(port.get_shape())), special_zero=False)
        port.set_names(set())
        whole.output(0).set_names(names)
        result.input(0).replace_source_output(whole.output(0))


_IDENTITY_SIDE = 64
"""Largest side of the identity: features are multiplied in parts, so that it takes neither space nor time."""


def _is_sum(port: Any) -> bool:
    """Return whether a value is a sum of two computed values, possibly in another shape."""
    node = port.get_node()
    while node.get_type_name() in ("Reshape", "Transpose"):
        node = node.input_value(0).get_node()
    terms = [node.input_value(i) for i in range(node.get_input_size())]
    return bool(node.get_type_name() == "Add") and not any(_is_constant(term) for term in terms)


def _is_constant(port: Any) -> bool:
    node = port.get_node()
    held = node.input_value(0).get_node() if node.get_type_name() == "Convert" else node
    return bool(held.get_type_name() == "Constant")


def _name(model: Any, graph: Graph) -> None:
    """Replace names that contain a counter of the process, so that the same export writes the same bytes."""
    model.set_friendly_name(graph.name)
    layers = quantisable(graph).keys() | convolutions(graph).keys()
    for i, op in enumerate(model.get_ordered_ops()):
        if op.get_type_name() == "Add" and op.get_friendly_name() in layers:  # the bias has a convolution's name
            op.input_value(0).get_node().set_friendly_name(op.get_friendly_name())
            op.set_friendly_name("")
        kept = op.get_type_name() in ("Parameter", "Result") or onnxruntime.layer_of(op.get_friendly_name()) in layers
        if not kept:
            op.set_friendly_name(f"{op.get_type_name()}_{i}")


def _specs(ports: Any) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(port.get_any_name(), tuple(port.shape)) for port in ports)
