"""Cutting an ONNX file in two by its outputs; needs the package ``onnx``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cgsam_edge.errors import BackendError, BundleError
from cgsam_edge.runtimes import telemetry

SUFFIX = ".onnx"
_PROTOBUF_BYTES = 2_000_000_000
"""Protobuf ends at 2 GiB: the weights of a larger graph go into a file beside it."""


def split(source: Path, folder: Path, parts: Mapping[str, Sequence[str]]) -> dict[str, int | None]:
    """Write a file for each part of a graph, with the nodes and constants that its outputs need.

    Args:
        source: the ``.onnx`` file; its weights may lie beside it.
        folder: where the parts go, each as ``NAME.onnx``.
        parts: names of outputs by the name of the part.

    Returns:
        The multiply-adds of each part; None where its shapes cannot be inferred.

    Raises:
        BackendError: the package is not installed.
        BundleError: the file cannot be read, or not be split.
        OSError: a part cannot be written.
    """
    onnx = _import()
    try:
        model = onnx.load(str(source))
    except Exception as error:  # protobuf's and onnx's exceptions share no base class
        raise BundleError(f"{source}: onnx cannot read it: {error}") from error
    return {name: _write_part(source, model, folder, name, outputs) for name, outputs in parts.items()}


def _write_part(source: Path, model: Any, folder: Path, name: str, outputs: Sequence[str]) -> int | None:
    """Write one part, and return its multiply-adds."""
    try:
        part = _part(model, name, outputs)
        macs = _macs(part)
        _save(part, folder / f"{name}{SUFFIX}")
    except OSError:  # of the destination, not of the source
        raise
    except Exception as error:  # as above
        raise BundleError(
            f"{source}: its part {name!r} cannot be written as ONNX: {error}. Export the bundle again."
        ) from error
    return macs


def _import() -> Any:
    try:
        return telemetry.load("onnx")
    except ImportError as error:
        raise BackendError(
            f"graphs for onnxruntime are split with the package onnx: pip install onnx ({error})."
        ) from error


def _part(model: Any, name: str, outputs: Sequence[str]) -> Any:
    """Return a model of what some outputs need."""
    graph, needed, nodes = model.graph, set(outputs), []
    for node in reversed(graph.node):  # which ONNX keeps in an order in which they can run
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    made = _without_graph(model)
    made.graph.name = graph.name or name
    made.graph.node.extend(reversed(nodes))
    made.graph.output.extend(one for one in graph.output if one.name in outputs)
    for kind in ("input", "initializer", "value_info"):
        getattr(made.graph, kind).extend(one for one in getattr(graph, kind) if one.name in needed)
    return made


def _without_graph(model: Any) -> Any:
    """Return a copy of all but the graph; protobuf may copy by way of bytes, of which it writes no more than 2 GiB."""
    made = type(model)()
    for field, value in model.ListFields():
        if field.name == "graph":
            continue
        if isinstance(value, (int, str, bytes)):
            setattr(made, field.name, value)
        else:
            getattr(made, field.name).MergeFrom(value)
    return made


def _bytes(model: Any) -> int:
    """Return the bytes of all tensors of a model: above 2 GiB, protobuf raises an error where its size is asked for."""
    held = [a for node in model.graph.node for a in node.attribute]
    tensors = [*model.graph.initializer, *(one for a in held for one in (a.t, *a.tensors))]
    return sum(map(_tensor_bytes, tensors))


def _tensor_bytes(tensor: Any) -> int:
    if tensor.raw_data or not tensor.data_type:  # a type of 0 is that of no tensor
        return len(tensor.raw_data)
    width = telemetry.load("onnx.helper").tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return int(math.prod(tensor.dims) * width)


def _save(model: Any, path: Path) -> None:
    onnx = _import()
    if _bytes(model) > _PROTOBUF_BYTES:
        beside = f"{path.name}.data"
        onnx.save_model(model, str(path), save_as_external_data=True, location=beside, size_threshold=1024)
    else:
        path.write_bytes(model.SerializeToString())


def _macs(model: Any) -> int | None:
    """Count the multiply-adds of products and convolutions."""
    if _bytes(model) > _PROTOBUF_BYTES:
        return None
    graph = telemetry.load("onnx.shape_inference").infer_shapes(model).graph
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output, *graph.value_info)
    } | {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type in ("MatMul", "Gemm", "Conv"):
            if not (node.output[0] in shapes and {*node.input[:2]} <= shapes.keys()):
                return None
            total += math.prod(shapes[node.output[0]]) * _depth(node, *(shapes[name] for name in node.input[:2]))
    return total


def _depth(node: Any, first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many multiply-adds make one value of a node's output."""
    if node.op_type == "Conv":
        return math.prod(second[1:])
    turned = any(a.name == "transA" and a.i for a in node.attribute)
    return first[-2] if turned else first[-1]
