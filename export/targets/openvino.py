"""The OpenVINO target: an ``.xml`` and a ``.bin`` a graph, read from the very ONNX that ONNX Runtime gets."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.targets import onnxruntime
from cgsam_edge.manifest import GraphSpec, TensorSpec

TARGET = "openvino"


def convert(graph: Graph, folder: Path, precision: str) -> GraphSpec:
    """Write one graph in OpenVINO's format.

    The graph goes through ONNX, so that both engines compute the same operations with the same rounded weights; the
    file is shared with the target "onnxruntime" where the bundle holds that too.

    Args:
        graph: what to write.
        folder: the bundle being written; the files go into ``openvino/``.
        precision: "fp32" or "fp16", of the stored weights.

    Raises:
        ExportError: the conversion failed.
    """
    ready = folder / onnxruntime.TARGET / f"{graph.name}.onnx"
    path = folder / TARGET / f"{graph.name}.xml"
    path.parent.mkdir(exist_ok=True)
    if ready.exists():
        model = _write(graph, ready, path)
    else:
        with tempfile.TemporaryDirectory(dir=folder) as made:
            spec = onnxruntime.convert(graph, Path(made), precision)
            model = _write(graph, Path(made) / spec.path, path)
    return GraphSpec(f"{TARGET}/{path.name}", precision, _specs(model.inputs), _specs(model.outputs))


def _write(graph: Graph, source: Path, path: Path) -> Any:
    import openvino  # an engine is imported where it is asked for

    try:
        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # the source may be removed while the model lives
        model = core.read_model(str(source))
        _name(model, graph)
        openvino.serialize(model, str(path), str(path.with_suffix(".bin")))
    except RuntimeError as error:
        raise ExportError(f"the graph {graph.name!r} could not be converted to OpenVINO: {error}") from error
    if model.is_dynamic():
        raise ExportError(f"the graph {graph.name!r} has shapes that are not fixed; NPUs need fixed ones.")
    return model


def _name(model: Any, graph: Graph) -> None:
    """Replace names that count up over the life of the process: the same export shall write the same bytes."""
    model.set_friendly_name(graph.name)
    layers = quantisable(graph)
    for i, op in enumerate(model.get_ordered_ops()):
        kept = op.get_type_name() in ("Parameter", "Result") or onnxruntime.layer_of(op.get_friendly_name()) in layers
        if not kept:
            op.set_friendly_name(f"{op.get_type_name()}_{i}")


def _specs(ports: Any) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(port.get_any_name(), tuple(port.shape)) for port in ports)
