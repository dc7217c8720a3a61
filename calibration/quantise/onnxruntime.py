"""INT8 for ONNX Runtime: its own quantiser writes QuantizeLinear and DequantizeLinear around the linear layers."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from cgsam_edge.calibration.four_bits import FourBits
from cgsam_edge.calibration.quantise import small_weights
from cgsam_edge.calibration.ranges import Range
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.targets.onnx_file import OnnxModel
from cgsam_edge.export.targets.onnxruntime import layer_of, save, weights_beside
from cgsam_edge.manifest import GraphSpec
from cgsam_edge.runtimes import telemetry

PRECISION = "int8"


def quantise(
    graph: Graph,
    folder: Path,
    spec: GraphSpec,
    *,
    ranges: Mapping[str, Range],
    in_float: frozenset[str] = frozenset(),
    four_bits: Mapping[str, FourBits] | None = None,
) -> GraphSpec:
    """Rewrite a float32 ``.onnx`` file with its linear layers in INT8, and its other constants stored as float16.

    Weights have a scale for each output channel and seven bits: with eight, a processor without VNNI overflows when it
    adds products in 16 bits (ONNX Runtime on AVX2: twice the error). Inputs are uint8 with the given ranges.

    Args:
        graph: the graph from which the file was converted.
        folder: the bundle being written.
        spec: spec of the float32 file.
        ranges: range of each layer's input; a layer without one is not quantised.
        in_float: layers to keep in float.
        four_bits: weights of layers in four bits; the other constants of the graph are then stored in eight. None
            where no layer was to have them.
    """
    path = folder / spec.path
    model = onnx.load(str(path))
    packed = {node.name: node for node in model.graph.node if layer_of(node.name) in (four_bits or {})}
    packed = {name: node for name, node in packed.items() if node.op_type == "MatMul"}
    layers = quantisable(graph).keys() & ranges.keys() - in_float
    nodes = [node.name for node in model.graph.node if layer_of(node.name) in layers and node.name not in packed]
    chosen = {name: ranges[layer_of(name)] for name in nodes}
    if chosen:
        _keep_biases_apart(model, chosen)
        model = _quantise(model, chosen)
    if four_bits is not None:
        small_weights.pack_layers(model, {name: four_bits[layer_of(name)] for name in packed})
        small_weights.store_in_eight_bits(model)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as aside:
        save(OnnxModel(model), Path(aside) / path.name, halve=True)
        weights_beside(path).unlink(missing_ok=True)  # left from the float32 file, if it was too large for one file
        for made in sorted(Path(aside).iterdir(), reverse=True):  # weights first, then the graph that refers to them
            made.replace(path.with_name(made.name))
    return GraphSpec(spec.path, PRECISION if four_bits is None else "int4", spec.inputs, spec.outputs)


def _keep_biases_apart(model: Any, chosen: Mapping[str, Range]) -> None:
    """Give the biases of these layers the shape (1, 1, n), which only changes how ONNX Runtime fuses them.

    ONNX Runtime fuses a product and the sum with a vector to a Gemm before it looks for integer products. It has no
    integer form of a Gemm with a float bias, and would compute it in float32 after dequantisation: slower than without
    INT8.
    """
    outputs = {node.output[0] for node in model.graph.node if node.name in chosen and node.op_type == "MatMul"}
    sums = [node for node in model.graph.node if node.op_type == "Add" and outputs & set(node.input)]
    names = {name for node in sums for name in node.input}
    for tensor in [t for t in model.graph.initializer if t.name in names and len(t.dims) == 1]:
        apart = numpy_helper.to_array(tensor).reshape(1, 1, -1)
        model.graph.initializer.append(numpy_helper.from_array(apart, f"{tensor.name}.apart"))
        for node in sums:
            node.input[:] = [f"{tensor.name}.apart" if name == tensor.name else name for name in node.input]
        if not any(tensor.name in node.input for node in model.graph.node):
            model.graph.initializer.remove(tensor)


def _quantise(model: Any, chosen: Mapping[str, Range]) -> Any:
    kinds = telemetry.load("onnxruntime.quantization").QuantType
    ranges = telemetry.load("onnxruntime.quantization.calibrate")
    quantizers = telemetry.load("onnxruntime.quantization.qdq_quantizer")

    inputs: dict[str, Any] = {}
    for node in model.graph.node:
        if node.name in chosen:
            held = chosen[node.name]
            inputs[node.input[0]] = ranges.TensorData(lowest=np.float32(held.low), highest=np.float32(held.high))
    known = telemetry.load("onnxruntime.quantization.quant_utils")
    before = logging.root.level
    known.add_infer_metadata(model)  # the shapes are in the file; to infer them it would write and read all weights
    quantizer = quantizers.QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=True,
        weight_qType=kinds.QInt8,
        activation_qType=kinds.QUInt8,
        tensors_range=ranges.TensorsData(ranges.CalibrationMethod.MinMax, inputs),
        nodes_to_quantize=list(chosen),
        nodes_to_exclude=[],
        op_types_to_quantize=["MatMul", "Gemm"],
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"], "DedicatedQDQPair": False},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    logging.root.setLevel(before)
    return quantizer.model.model
