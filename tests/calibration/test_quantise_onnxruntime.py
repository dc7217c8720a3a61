"""INT8 for ONNX Runtime: how its optimiser rewrites the file, which decides whether it is fast."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from cgsam_edge.calibration.quantise.onnxruntime import quantise
from cgsam_edge.calibration.ranges import Observer, Range, of_graph
from cgsam_edge.export.graphs.build import Graph, Graphs, build_graphs
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.targets import onnxruntime as target
from cgsam_edge.export.targets.onnxruntime import layer_of
from tests import tiny
from tests.conftest import slow


def observed(graphs: Graphs) -> dict[tuple[str, str], Range]:
    """The ranges of all layers on example inputs."""
    observer = Observer(graphs)
    with observer.watching():
        for graph in (graphs.clip, graphs.image, graphs.concept):
            graph.run(graph.example())
    return observer.ranges("minmax")


@pytest.fixture(params=[slow("clip"), slow("image"), "concept"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Graph, Path, list[str]]:
    """A graph, its file in INT8, and the names of the products that were linear layers."""
    graphs = build_graphs(tiny.model(tiny.config()))
    ranges = observed(graphs)
    graph = getattr(graphs, request.param)
    spec = target.convert(graph, tmp_path, "fp32")
    path = tmp_path / spec.path
    products = [n.name for n in onnx.load(str(path)).graph.node if layer_of(n.name) in quantisable(graph)]
    quantise(graph, tmp_path, spec, ranges=of_graph(ranges, graph.name))
    return graph, path, products


def test_the_optimiser_makes_an_integer_product_of_every_layer(written: tuple[Graph, Path, list[str]]) -> None:
    _, path, products = written
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    settings.optimized_model_filepath = str(path.with_suffix(".optimised.onnx"))
    onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(settings.optimized_model_filepath).graph.node)
    assert kinds["MatMulIntegerToFloat"] + kinds["QGemm"] == len(products) > 5
    assert kinds["DequantizeLinear"] == 0


def test_outputs_stay_near(written: tuple[Graph, Path, list[str]]) -> None:
    graph, path, _ = written
    given = graph.example()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(list(graph.outputs), {name: tensor.numpy() for name, tensor in given.items()})
    with torch.inference_mode():
        expected = graph.run(given)
    for name, values in zip(graph.outputs, got, strict=True):
        wanted = expected[name].numpy()
        assert np.sqrt(np.mean((values - wanted) ** 2)) < 0.2 * wanted.std()


@pytest.mark.parametrize("fits", [True, False], ids=["then in one file", "still in two"])
def test_a_graph_too_large_for_one_file(fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = build_graphs(tiny.model(tiny.config()))
    ranges = observed(graphs)
    monkeypatch.setattr(target, "EXTERNAL_BYTES", 10_000)
    spec = target.convert(graphs.concept, tmp_path, "fp32")
    written = tmp_path / "onnxruntime"
    before = (written / "concept.onnx.data").stat().st_size
    if fits:
        monkeypatch.setattr(target, "EXTERNAL_BYTES", 10_000_000)
    quantise(graphs.concept, tmp_path, spec, ranges=of_graph(ranges, "concept"))
    sizes = {path.name: path.stat().st_size for path in written.iterdir()}
    assert sizes.keys() == {"concept.onnx"} | (set() if fits else {"concept.onnx.data"})
    assert sizes.get("concept.onnx.data", 0) < before / 2
    session = onnxruntime.InferenceSession(str(tmp_path / spec.path), providers=["CPUExecutionProvider"])
    assert [tensor.name for tensor in session.get_outputs()] == ["image_embedding"]
