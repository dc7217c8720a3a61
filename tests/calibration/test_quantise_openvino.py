"""INT8 for OpenVINO: NNCF's quantisers have the ranges that they were given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch

from cgsam_edge.calibration.quantise.openvino import _layers_behind, quantise
from cgsam_edge.calibration.ranges import Observer, Range, of_graph
from cgsam_edge.export.graphs.build import Graph, Graphs, build_graphs
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.targets import openvino as target
from cgsam_edge.export.targets.onnxruntime import layer_of
from tests import tiny
from tests.conftest import slow

Written = tuple[Graph, Path, dict[str, Range]]


def convert(graphs: Graphs, name: str, folder: Path, kept: frozenset[str]) -> Written:
    observer = Observer(graphs)
    with observer.watching():
        for graph in (graphs.clip, graphs.image, graphs.concept):
            graph.run(graph.example())
    graph = getattr(graphs, name)
    seen = of_graph(observer.ranges("minmax"), name)
    ranges = {
        layer: Range(1.5 * held.low, 0.75 * held.high) for layer, held in seen.items()
    }  # not what NNCF would find
    spec = target.convert(graph, folder, "fp32")
    example = {name: tensor.numpy() for name, tensor in graph.example().items()}
    quantise(graph, folder, spec, feeds=lambda: iter([example] * 3), ranges=ranges, in_float=kept)
    return graph, folder / spec.path, ranges


def strays(path: Path) -> list[str]:
    """Return what is quantised although no layer takes it."""
    model = openvino.Core().read_model(str(path))  # its operators only hold what is before them
    found = [op for op in model.get_ordered_ops() if op.get_type_name() == "FakeQuantize"]
    values = [op for op in found if op.input_value(0).get_node().get_type_name() != "Constant"]
    return [op.get_friendly_name() for op in values if not _layers_behind(op)]


def quantisers(path: Path) -> dict[str, Any]:
    """Return what quantises the input of each layer that is in INT8."""
    held: dict[str, Any] = {}
    for op in openvino.Core().read_model(str(path)).get_ordered_ops():
        before = op.input_value(0).get_node() if op.get_type_name() == "MatMul" else None
        while before is not None and before.get_type_name() in ("Reshape", "Transpose", "Gather"):
            before = before.input_value(0).get_node()
        if before is not None and before.get_type_name() == "FakeQuantize":
            held[layer_of(op.get_friendly_name())] = before
    return held


@pytest.mark.parametrize("name", ["clip", slow("image"), slow("concept")])
def test_quantisers_have_the_ranges_given(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    graphs = build_graphs(tiny.model(tiny.config()))
    kept = frozenset({next(n for n in quantisable(getattr(graphs, name)) if n.endswith(("lin1", "c_fc")))})
    graph, path, ranges = convert(graphs, name, tmp_path, kept)
    assert tuple(capfd.readouterr()) == ("", ""), "NNCF's own progress would break into that of the export"
    assert not strays(path), "NNCF quantises other operators too, by its own ranges of one picture"
    found = quantisers(path)
    assert found.keys() == quantisable(graph).keys() - kept
    for layer, node in found.items():
        low, high = (float(node.input_value(place).get_node().data) for place in (1, 2))
        step = (high - low) / 255
        assert low == pytest.approx(min(0.0, ranges[layer].low), abs=step)
        assert high == pytest.approx(max(0.0, ranges[layer].high), abs=step)
        assert low / step == pytest.approx(round(low / step), abs=1e-3)  # zero is one of the values


@pytest.mark.parametrize("name", [slow("clip"), slow("image"), "concept"])
def test_the_engine_computes_all_layers_in_int8(name: str, tmp_path: Path) -> None:
    """One whose input it cannot quantise stays a product in float, of widened weights."""
    graph, path, _ = convert(build_graphs(tiny.model(tiny.config())), name, tmp_path, frozenset())
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found: dict[str, str] = {}
    for op in compiled.get_runtime_model().get_ops():
        told = {key: str(value.astype(str)) for key, value in op.get_rt_info().items()}
        if "FullyConnected" in told["layerType"]:
            names = told["originalLayersNames"].split(",")
            found |= {layer_of(one): told["primitiveType"] for one in names if layer_of(one) in quantisable(graph)}
    assert found.keys() == quantisable(graph).keys()
    assert not {layer: kind for layer, kind in found.items() if "i8" not in kind.lower()}


def test_outputs_stay_near(tmp_path: Path) -> None:
    graph, path, _ = convert(build_graphs(tiny.model(tiny.config())), "concept", tmp_path, frozenset())
    given = graph.example()
    run = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    got = run({name: tensor.numpy() for name, tensor in given.items()})
    with torch.inference_mode():
        expected = graph.run(given)
    for name in graph.outputs:
        wanted = expected[name].numpy()
        assert np.sqrt(np.mean((got[name] - wanted) ** 2)) < 0.6 * wanted.std()
