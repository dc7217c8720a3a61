"""INT8 for OpenVINO, by NNCF: linear layers and SAM's convolutions, with the ranges that were measured before."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.calibration.four_bits import FourBits
from cgsam_edge.calibration.quantise.small_weights import in_eight_bits
from cgsam_edge.calibration.ranges import Range
from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.layers import convolutions, quantisable
from cgsam_edge.export.targets.onnxruntime import HALF_MAX, HALVED_SIZE, layer_of
from cgsam_edge.manifest import GraphSpec
from cgsam_edge.runtimes import telemetry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Feeds = Callable[[], Iterator[Mapping[str, NDArray[np.float32]]]]

PRECISION = "int8"


def quantise(
    graph: Graph,
    folder: Path,
    spec: GraphSpec,
    *,
    feeds: Feeds,
    ranges: Mapping[str, Range],
    in_float: frozenset[str] = frozenset(),
    four_bits: Mapping[str, FourBits] | None = None,
) -> GraphSpec:
    """Rewrite a float32 ``.xml`` and ``.bin`` with its layers in INT8, and other large constants as float16.

    Layers are linear ones and `convolutions`; where others have four bits, convolutions stay in float.

    Weights have a scale for each output channel and seven bits, inputs are uint8 with the given ranges. NNCF would
    measure ranges again on all pictures, with fewer methods; here it sees only the first picture.

    Args:
        graph: the graph from which the files were converted.
        folder: the bundle being written.
        spec: spec of the float32 files.
        feeds: function that yields the graph's inputs for each calibration picture.
        ranges: range of each layer's input; a layer without one is not quantised.
        in_float: layers to keep in float.
        four_bits: weights of layers in four bits; the other constants of the graph are then stored in eight. None
            where no layer was to have them.

    Raises:
        ExportError: NNCF could not quantise the graph.
    """
    openvino = telemetry.load("openvino")
    path = folder / spec.path
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": os.name != "nt"})  # Windows does not replace a mapped file, as is done below
    model = core.read_model(str(path))
    known = quantisable(graph).keys() | (convolutions(graph).keys() if four_bits is None else frozenset())
    layers = known & ranges.keys() - in_float - (four_bits or {}).keys()
    if layers:
        try:
            with _quiet():
                model = _quantise(model, islice(feeds(), 1), layers)
        except Exception as error:  # NNCF raises many kinds of errors
            raise ExportError(f"the graph {graph.name!r} could not be quantised for OpenVINO: {error}") from error
        _set_ranges(model, ranges)
    if four_bits is not None:
        _pack_layers(model, four_bits)
        _store_in_eight_bits(model)
    _save(model, path)
    return GraphSpec(spec.path, PRECISION if four_bits is None else "int4", spec.inputs, spec.outputs)


def _pack_layers(model: Any, weights: Mapping[str, FourBits]) -> None:
    """Replace the weights of layers with what OpenVINO computes in four bits: values, times scales, in one row."""
    openvino, opset13 = telemetry.load("openvino"), telemetry.load("openvino.opset13")
    made: dict[tuple[str, int], Any] = {}
    passed: dict[str, int] = defaultdict(int)  # rows of earlier parts
    for product in _in_order([op for op in model.get_ordered_ops() if op.get_type_name() == "MatMul"]):
        layer, rows = layer_of(product.get_friendly_name()), int(product.get_output_shape(0)[-1])
        if layer not in weights:
            continue
        start = passed[layer]
        passed[layer] = (start + rows) % len(weights[layer].values)
        if (layer, start) not in made:  # a layer that runs twice has one weight
            held, part = weights[layer], slice(start, start + rows)
            wide = opset13.convert(opset13.constant(held.values[part], dtype=openvino.Type.i4), "f16")
            scaled = opset13.multiply(wide, opset13.constant(held.scales[part, :, None]))
            shape = opset13.constant(np.array([rows, -1]))
            made[layer, start] = opset13.convert(opset13.reshape(scaled, shape, special_zero=False), "f32")
            made[layer, start].set_friendly_name(f"{layer}/four_bits/{start}")
        product.input(1).replace_source_output(made[layer, start].output(0))


def _in_order(products: list[Any]) -> list[Any]:
    """Return products of one layer in the order of their numbers, in which a divided layer's rows lie."""
    return sorted(products, key=lambda op: int(op.get_friendly_name().partition("#")[2] or 1))


def _store_in_eight_bits(model: Any) -> None:
    """Store large float32 constants as int8 with a scale for each row; the engine widens them when it compiles."""
    opset13 = telemetry.load("openvino.opset13")
    for node in [op for op in model.get_ordered_ops() if op.get_type_name() == "Constant"]:
        if node.get_element_type().get_type_name() != "f32" or node.data.size < HALVED_SIZE or node.data.ndim < 2:
            continue
        rounded, scale = in_eight_bits(node.data)
        wide = opset13.multiply(opset13.convert(opset13.constant(rounded), "f32"), opset13.constant(scale))
        wide.set_friendly_name(f"{node.get_friendly_name()}/widened")
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(wide.output(0))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress NNCF's progress bars and remarks, and PyTorch's remark about a missing CUDA runtime."""
    loggers = [logging.getLogger(name) for name in ("nncf", "torch.utils.cpp_extension")]
    levels = [logger.level for logger in loggers]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            telemetry.load("nncf")  # it sets its own level
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _quantise(model: Any, samples: Iterator[Any], layers: Collection[str]) -> Any:
    nncf = telemetry.load("nncf")
    kinds = {op.get_friendly_name(): op.get_type_name() for op in model.get_ordered_ops()}
    float_names = [name for name, kind in kinds.items() if kind in _LAYERS and layer_of(name) not in layers]
    float_kinds = sorted(_FLOAT_KINDS.intersection(kinds.values()))
    return nncf.quantize(
        model,
        nncf.Dataset(samples, dict),
        subset_size=1,
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=nncf.IgnoredScope(names=float_names, types=float_kinds),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.ENABLE,  # seven-bit weights: processors without VNNI add in 16 bits
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(
                convolution=-1, matmul=-1
            ),  # smoothing is done earlier, for all targets
            disable_bias_correction=True,
        ),
    )


_LAYERS = ("MatMul", "Convolution")
"""Operators that can be a layer; those that are none stay in float by their names."""

_FLOAT_KINDS = {
    "GroupConvolution",
    "Interpolate",
    "Softmax",
    "MVN",
    "Add",
    "Multiply",
    "Subtract",
    "Divide",
    "Concat",
}
"""Other operators that NNCF would quantise, or feed with quantised inputs; they stay in float."""


def _set_ranges(model: Any, ranges: Mapping[str, Range]) -> None:
    """Set these ranges in the quantisers of the layers' inputs, shifted so that zero is one of the 256 values."""
    opset13 = telemetry.load("openvino.opset13")

    for node in [op for op in model.get_ordered_ops() if op.get_type_name() == "FakeQuantize"]:
        held = [ranges[layer] for layer in _layers_behind(node) if layer in ranges]
        if not held or node.input_value(0).get_node().get_type_name() == "Constant":
            continue  # not the input of a layer
        low, high = min(0.0, *(r.low for r in held)), max(0.0, *(r.high for r in held))
        scale = max(high - low, _LEAST_RANGE) / 255
        zero = round(-low / scale)
        limits = np.float32(-zero * scale), np.float32((255 - zero) * scale)
        for place, value in enumerate((*limits, *limits), start=1):
            node.input(place).replace_source_output(opset13.constant(value).output(0))


_LEAST_RANGE = 1e-6
"""Range of a layer whose inputs were all zero."""


def _layers_behind(node: Any) -> set[str]:
    """Return the layers that use a quantiser's output, directly or reshaped or transposed."""
    found, ahead = set(), [node]
    while ahead:
        for user in ahead.pop().output(0).get_target_inputs():
            if user.get_node().get_type_name() in _LAYERS:
                found.add(layer_of(user.get_node().get_friendly_name()))
            elif user.get_node().get_type_name() in _SHAPES:
                ahead.append(user.get_node())
    return found


_SHAPES = {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Gather"}


def _save(model: Any, path: Path) -> None:
    """Write beside, then rename; the weights first, so that no description exists without them."""
    openvino = telemetry.load("openvino")
    _halve_constants(model)
    beside = path.with_name(f"part-{path.name}")
    openvino.save_model(model, str(beside), compress_to_fp16=False)
    beside.with_suffix(".bin").replace(path.with_suffix(".bin"))
    beside.replace(path)


def _halve_constants(model: Any) -> None:
    """Store large float32 constants as float16, each widened by an operator that the engine folds when it compiles.

    OpenVINO's own compression skips a model that contains INT8 weights.
    """
    opset13 = telemetry.load("openvino.opset13")

    for node in [op for op in model.get_ordered_ops() if op.get_type_name() == "Constant"]:
        if node.get_element_type().get_type_name() != "f32" or node.data.size < HALVED_SIZE:
            continue
        if np.abs(node.data).max() > HALF_MAX:
            continue  # would become infinite
        wide = opset13.convert(opset13.constant(node.data.astype(np.float16)), "f32")
        wide.set_friendly_name(f"{node.get_friendly_name()}/widened")
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(wide.output(0))
