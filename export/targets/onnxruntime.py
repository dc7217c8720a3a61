"""The ONNX Runtime target: one ``.onnx`` file per graph, and an external data file for graphs over 2 GB."""

from __future__ import annotations

import ast
import gc
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from cgsam_edge import _version
from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.layers import convolutions, quantisable
from cgsam_edge.export.targets import onnx_file
from cgsam_edge.export.targets.onnx_file import OnnxModel
from cgsam_edge.manifest import GraphSpec, TensorSpec

TARGET = "onnxruntime"

OPSET = 20
"""The first opset with GELU as one operator; LayerNormalization exists since 17."""

EXTERNAL_BYTES = 2_000_000_000
"""Above this size, weights go into a separate file: protobuf's limit is 2 GiB."""

HALVED_SIZE = onnx_file.LARGE_SIZE
"""Smaller constants stay in float32: they are norms and biases, and would save nothing."""

HALF_MAX = float(np.finfo(np.float16).max)


def convert(graph: Graph, folder: Path, precision: str) -> GraphSpec:
    """Write one graph as ONNX, checked by ``onnx.checker``.

    FP16 halves the stored weights; the engine widens them once when it opens the file, and computes in float32.

    Args:
        graph: what to write.
        folder: the bundle being written; the file goes into ``onnxruntime/``.
        precision: "fp32" or "fp16".

    Raises:
        ExportError: the conversion failed.
    """
    model = _to_onnx(graph)
    model.proto.producer_name, model.proto.producer_version = "cgsam-edge", _version.__version__
    path = folder / TARGET / f"{graph.name}.onnx"
    path.parent.mkdir(exist_ok=True)
    save(model, path, halve=precision == "fp16")
    ends = model.proto.graph
    return GraphSpec(f"{TARGET}/{path.name}", precision, _specs(ends.input), _specs(ends.output))


def _to_onnx(graph: Graph) -> OnnxModel:
    with warnings.catch_warnings(), _uncollected():
        warnings.simplefilter("ignore")  # the exporter's deprecation warnings
        try:
            program = torch.onnx.export(
                graph.module,
                kwargs=graph.example(),
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # the exporter raises many kinds of errors
            raise ExportError(f"the graph {graph.name!r} could not be converted to ONNX: {error}") from error
    assert program is not None
    model = OnnxModel.of_program(program)
    _name_layers(model.proto, graph)
    _fold_transposes(model)
    _strip(model.proto)
    return model


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python from looking for garbage: among the exporter's many objects that takes a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


SCOPES = "pkg.torch.onnx.name_scopes"


def _name_layers(model: Any, graph: Graph) -> None:
    """Name what can be quantised after its module, so that quantisers find it; a layer's second call gets "#2"."""
    kinds = dict.fromkeys(quantisable(graph), ("MatMul", "Gemm")) | dict.fromkeys(convolutions(graph), ("Conv",))
    calls = Counter[str]()
    for node in model.graph.node:
        notes = {note.key: note.value for note in node.metadata_props}
        scopes = ast.literal_eval(notes.get(SCOPES, "[]"))
        layer = next((scope for scope in reversed(scopes) if scope in kinds), None)
        if layer is not None and node.op_type in kinds[layer]:
            calls[layer] += 1
            node.name = layer if calls[layer] == 1 else f"{layer}#{calls[layer]}"
    missing = kinds.keys() - calls.keys()
    if missing:
        raise ExportError(
            f"the graph {graph.name!r} lost the layers {', '.join(sorted(missing))} in the conversion to ONNX."
        )


def layer_of(node: str) -> str:
    """Return the layer after which a node is named."""
    return node.partition("#")[0]


def _fold_transposes(model: OnnxModel) -> None:
    """Transpose constants now: if a layer runs twice, the exporter leaves it to the engine, and hides the weight."""
    graph = model.proto.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "Transpose" and n.input[0] in constants]:
        order = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
        model.lend(model.array(constants[node.input[0]]).transpose(order), node.output[0])
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for name in constants.keys() - used:
        graph.initializer.remove(constants[name])


def _strip(model: Any) -> None:
    """Remove the exporter's notes: source lines and module names."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]


def _widen(model: OnnxModel) -> frozenset[str]:
    """Insert the casts of the constants that are to be stored as float16, and return the names of these."""
    graph = model.proto.graph
    names = [tensor.name for tensor in graph.initializer if _fits_half(model, tensor)]
    casts = [helper.make_node("Cast", [f"{name}.fp16"], [name], to=TensorProto.FLOAT) for name in names]
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return frozenset(names)


def _fits_half(model: OnnxModel, tensor: Any) -> bool:
    """Return whether a constant is large, float32, and none of its numbers would become infinite."""
    if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < HALVED_SIZE:
        return False
    return bool(np.abs(model.array(tensor)).max() <= HALF_MAX)


def _half(model: OnnxModel, tensor: Any) -> Any:
    return numpy_helper.from_array(model.array(tensor).astype(np.float16), f"{tensor.name}.fp16")


def weights_beside(path: Path) -> Path:
    """Return the path of a graph's weights if they are in a separate file."""
    return path.with_name(f"{path.name}.data")


def save(model: OnnxModel, path: Path, *, halve: bool = False) -> None:
    """Write a model and check it; weights beyond `EXTERNAL_BYTES` go into a separate file.

    Args:
        model: gets the casts of halved constants, which it keeps as they are.
        path: the file.
        halve: whether large float32 constants are stored as float16, each followed by a cast that engines fold when
            they open the file.
    """
    names, proto = _widen(model) if halve else frozenset[str](), model.proto

    def stored(tensor: Any) -> Any:
        return _half(model, tensor) if tensor.name in names else model.filled(tensor)

    size = sum(_bytes(tensor) // (1 + (tensor.name in names)) for tensor in proto.graph.initializer)
    try:
        if size > EXTERNAL_BYTES:
            onnx_file.write_beside(proto, path, weights_beside(path), stored)
            onnx.checker.check_model(str(path))
        else:
            onnx_file.write(proto, path, stored)
            for tensor in proto.graph.initializer:
                onnx.checker.check_tensor(stored(tensor))
            onnx.checker.check_model(_without_weights(proto, names), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{path.name}: the written file is not valid ONNX: {error}") from error


def _bytes(tensor: Any) -> int:
    return int(np.prod(tensor.dims)) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _without_weights(model: Any, halved: frozenset[str]) -> Any:
    """Return a copy whose large constants are inputs: the checker and its shape inference copy a model three times."""
    made = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    for name in ("node", "input", "output", "value_info"):
        getattr(made.graph, name).extend(getattr(model.graph, name))
    made.graph.name = model.graph.name
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims) < HALVED_SIZE:
            made.graph.initializer.append(tensor)
            continue
        half = tensor.name in halved
        name, kind = (f"{tensor.name}.fp16", TensorProto.FLOAT16) if half else (tensor.name, tensor.data_type)
        made.graph.input.append(helper.make_tensor_value_info(name, kind, tensor.dims))
    return made


def _specs(values: Any) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(v.name, tuple(d.dim_value for d in v.type.tensor_type.shape.dim)) for v in values)
