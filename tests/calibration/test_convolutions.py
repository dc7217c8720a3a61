"""SAM's convolutions in INT8: where they are quantised, by which range, and that they can stay in float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
import torch

from cgsam_edge.calibration.fakequant import quantised, round_weight
from cgsam_edge.calibration.four_bits import in_four_bits
from cgsam_edge.calibration.quantise import onnxruntime as onnxruntime_int8
from cgsam_edge.calibration.quantise.openvino import quantise
from cgsam_edge.calibration.ranges import Layer, Observer, Range, Watched, of_graph
from cgsam_edge.calibration.ranking import Ranking, blocks
from cgsam_edge.export.fallback import Fallback
from cgsam_edge.export.graphs.build import Graph, Graphs, build_graphs
from cgsam_edge.export.graphs.layers import Convolution, convolutions, quantisable
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.targets import onnxruntime
from cgsam_edge.export.targets import openvino as target
from cgsam_edge.quality.findings import Sensitivity
from tests import tiny

NECK: Layer = ("concept", "neck.2")


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    return build_graphs(tiny.model(tiny.config()))


@pytest.fixture(scope="module")
def ranges(graphs: Graphs) -> dict[Layer, Range]:
    observer = Observer((graphs.concept,), watched=Watched(convolutions=frozenset({"concept"})))
    with observer.watching():
        graphs.concept.run(graphs.concept.example())
    return observer.ranges("minmax")


def convolution(graph: Graph) -> Convolution:
    return convolutions(graph)[NECK[1]]


def test_those_of_sam_are_found(graphs: Graphs) -> None:
    found = {(graph.name, name): one.kernel_size for graph in graphs for name, one in convolutions(graph).items()}
    assert found == {("image", "patch_embed.proj"): (16, 16), NECK: (3, 3)}


def test_its_input_is_seen_channel_by_channel(graphs: Graphs, ranges: dict[Layer, Range]) -> None:
    inputs: list[torch.Tensor] = []
    hook = convolution(graphs.concept).register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    observer = Observer((graphs.concept,), watched=Watched(convolutions=frozenset({"concept"})))
    with observer.watching():
        graphs.concept.run(graphs.concept.example())
    hook.remove()
    (seen,) = inputs
    assert torch.equal(observer.seen[NECK].low, seen.amin(dim=(0, 2, 3)))
    assert (ranges[NECK].low, ranges[NECK].high) == (seen.min().item(), seen.max().item())
    assert not any(module._forward_pre_hooks for module in graphs.concept.module.modules())


def test_without_a_target_that_quantises_it_nothing_is_seen(graphs: Graphs) -> None:
    observer = Observer((graphs.concept,))
    with observer.watching():
        graphs.concept.run(graphs.concept.example())
    assert {name for _, name in observer.seen} == quantisable(graphs.concept).keys()


@pytest.mark.parametrize(
    ("targets", "precision", "expected"),
    [
        (("onnxruntime", "openvino"), "int8", {"image", "concept"}),
        (("onnxruntime", "coreml"), "int8", set()),
        (("openvino",), "int4", set()),
        (("openvino",), "clip=int8,image=fp32", set()),
        (("openvino",), "image=int8,concept=int4", {"image"}),
        (("openvino",), "concept=int8", {"concept"}),
    ],
)
def test_only_openvino_quantises_them(targets: tuple[str, ...], precision: str, expected: set[str]) -> None:
    options = ExportOptions(Path("a"), Path("b"), Path("c"), targets, precision)
    assert options.convolved_graphs == expected


@pytest.mark.parametrize("observed", ["image", "concept"])
def test_those_of_other_graphs_are_not_observed(graphs: Graphs, observed: str) -> None:
    observer = Observer((graphs.image, graphs.concept), watched=Watched(convolutions=frozenset({observed})))
    with observer.watching():
        for graph in (graphs.image, graphs.concept):
            graph.run(graph.example())
    seen = {key for key in observer.seen for graph in graphs if key[0] == graph.name and key[1] in convolutions(graph)}
    assert seen == {(graph.name, name) for graph in graphs if graph.name == observed for name in convolutions(graph)}


def test_a_target_that_computes_them_in_float_is_never_asked_to_keep_them(graphs: Graphs) -> None:
    linear, embedding = ("image", "blocks.0.lin1"), ("image", "patch_embed.proj")
    groups = ((NECK,), (linear,), (embedding,), (("concept", "blocks.0.lin1"),))
    measured = tuple(Sensitivity(*group[0], 0.9, 0.1) for group in groups[:3])
    unused: Any = None
    fallback = Fallback(unused, graphs, unused, unused, Path("bundle"))
    fallback.ranking = ranked = Ranking(groups, measured)
    assert fallback.ranking_of("openvino") == ranked
    for name in ("onnxruntime", "coreml"):
        found = fallback.ranking_of(name)
        assert found == Ranking((groups[1], groups[3]), (measured[1],))
        assert found.most_sensitive(2) == {linear, ("concept", "blocks.0.lin1")}


def test_its_weight_is_rounded_for_each_output(graphs: Graphs) -> None:
    weight = convolution(graphs.concept).weight.detach().clone()
    weight[0] *= 1000
    steps = weight.flatten(1).abs().amax(dim=1) / 63
    rounded = round_weight(weight)
    for row, step, made in zip(weight, steps, rounded, strict=True):
        assert (made - row).abs().max() <= 0.5001 * step
        assert torch.allclose(made / step, (made / step).round(), atol=1e-3)


def test_its_rounding_is_simulated_alone(graphs: Graphs, ranges: dict[Layer, Range]) -> None:
    given = graphs.concept.example()
    before = graphs.concept.run(given)["image_embedding"]
    with quantised(graphs, ranges, (NECK,)):
        rounded = graphs.concept.run(given)["image_embedding"]
    assert 1e-4 < ((rounded - before).std() / before.std()).item() < 0.2
    assert torch.equal(graphs.concept.run(given)["image_embedding"], before)
    assert (NECK,) in blocks(ranges)


@pytest.fixture(scope="module")
def written(graphs: Graphs, ranges: dict[Layer, Range], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function from options of the quantiser to the file that it writes."""
    folder = tmp_path_factory.mktemp("converted")
    spec = target.convert(graphs.concept, folder, "fp32")
    files = {path: path.read_bytes() for path in (folder / spec.path).parent.iterdir()}
    example = {name: tensor.numpy() for name, tensor in graphs.concept.example().items()}

    def write(held: dict[Layer, Range] = ranges, **options: Any) -> Path:
        for path, content in files.items():
            path.write_bytes(content)
        given = of_graph(held, "concept")
        quantise(graphs.concept, folder, spec, feeds=lambda: iter([example]), ranges=given, **options)
        return folder / spec.path

    return write


def engine_kinds(path: Path) -> dict[str, str]:
    """Return the kernel of each layer of a graph in OpenVINO's CPU."""
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = {}
    for op in compiled.get_runtime_model().get_ops():
        told = {key: str(value.astype(str)) for key, value in op.get_rt_info().items()}
        for name in told["originalLayersNames"].split(","):
            if told["layerType"] in ("Convolution", "FullyConnected"):
                found[name] = told["primitiveType"].lower()
    return found


def test_the_engine_computes_it_in_int8(written: Any) -> None:
    kinds = engine_kinds(written())
    assert "i8" in kinds[NECK[1]]
    assert not any("i8" in kind for name, kind in kinds.items() if name.startswith("Convolution_"))


def test_it_can_stay_in_float(written: Any) -> None:
    kinds = engine_kinds(written(in_float=frozenset({NECK[1]})))
    assert "i8" not in kinds[NECK[1]]
    assert "i8" in kinds["blocks.0.lin1"]


def test_its_input_has_the_range_given(written: Any, ranges: dict[Layer, Range]) -> None:
    model = openvino.Core().read_model(str(written(ranges | {NECK: Range(-3.0, 7.0)})))
    node = next(op for op in model.get_ordered_ops() if op.get_friendly_name() == NECK[1]).input_value(0).get_node()
    assert node.get_type_name() == "FakeQuantize"
    low, high = (float(node.input_value(place).get_node().data) for place in (1, 2))
    assert (low, high) == pytest.approx((-3.0, 7.0), abs=10 / 255)
    assert low / ((high - low) / 255) == pytest.approx(round(-3 * 25.5), abs=1e-3)  # zero is one of the values


def test_its_rounding_costs_what_was_simulated(graphs: Graphs, written: Any, ranges: dict[Layer, Range]) -> None:
    """All other layers stay in float; NNCF takes other steps for the weights."""
    path = written(in_float=frozenset(quantisable(graphs.concept)))
    given = graphs.concept.example()
    run = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    got = run({name: tensor.numpy() for name, tensor in given.items()})["image_embedding"]
    plain = graphs.concept.run(given)["image_embedding"].numpy()
    with quantised(graphs, ranges, (NECK,)):
        simulated = graphs.concept.run(given)["image_embedding"].numpy()
    assert np.std(got - plain) == pytest.approx(np.std(simulated - plain), rel=0.25)


def test_beside_weights_of_four_bits_it_stays_in_float(graphs: Graphs, written: Any) -> None:
    layer = quantisable(graphs.concept)["blocks.0.lin2"]
    small = {"blocks.0.lin2": in_four_bits(layer.weight, torch.eye(layer.in_features))}
    assert "i8" not in engine_kinds(written(four_bits=small))[NECK[1]]


def test_onnx_runtime_keeps_it_in_float(graphs: Graphs, ranges: dict[Layer, Range], tmp_path: Path) -> None:
    spec = onnxruntime.convert(graphs.concept, tmp_path, "fp32")
    onnxruntime_int8.quantise(graphs.concept, tmp_path, spec, ranges=of_graph(ranges, "concept"))
    model = onnx.load(str(tmp_path / spec.path))
    made = {name: node for node in model.graph.node for name in node.output}
    neck = next(node for node in model.graph.node if node.name == NECK[1])
    assert neck.op_type == "Conv"
    assert made[neck.input[0]].op_type != "DequantizeLinear"


def test_the_embedding_of_patches_is_quantised_where_the_pixels_lie(graphs: Graphs, tmp_path: Path) -> None:
    """OpenVINO's form of it is a convolution in three dimensions, with the same name."""
    graph, key = graphs.image, ("image", "patch_embed.proj")
    given = graph.example() | {"pixels": torch.rand(graph.inputs["pixels"]) * 255}
    observer = Observer((graph,), watched=Watched(convolutions=frozenset({"image"})))
    with observer.watching():
        plain = graph.run(given)["tokens"].numpy()
    ranges = observer.ranges("minmax")
    with quantised(graphs, ranges, (key,)):
        simulated = graph.run(given)["tokens"].numpy()
    spec = target.convert(graph, tmp_path, "fp32")
    feed = {name: tensor.numpy() for name, tensor in given.items()}
    others = frozenset(quantisable(graph))
    quantise(graph, tmp_path, spec, feeds=lambda: iter([feed]), ranges=of_graph(ranges, "image"), in_float=others)
    assert "i8" in engine_kinds(tmp_path / spec.path)["patch_embed.proj"]
    run = openvino.Core().compile_model(str(tmp_path / spec.path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert np.std(run(feed)["tokens"] - plain) == pytest.approx(np.std(simulated - plain), rel=0.25)
