"""Which layers are tried together, what of them was measured, and which attempt of a fallback is taken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cgsam_edge.agreement import Overlap
from cgsam_edge.bundle import Bundle
from cgsam_edge.calibration import ranking
from cgsam_edge.calibration.ranges import Layer, Observer, Range
from cgsam_edge.calibration.ranking import Ranking, blocks, rank
from cgsam_edge.calibration.saved import SavedGraphs
from cgsam_edge.export.fallback import SavedAttempt, TargetAttempt, best_attempt
from cgsam_edge.export.graphs.build import Graphs, build_graphs
from cgsam_edge.export.torch_backend import open_in_torch
from cgsam_edge.quality.findings import Sensitivity
from cgsam_edge.quality.gate import Gate, unlabelled
from cgsam_edge.quality.judge import GateLimits, TargetQuality
from cgsam_edge.quality.pairs import MaskPair
from cgsam_edge.quality.photos import from_folder
from cgsam_edge.quality.scenes.__main__ import write_scenes
from cgsam_edge.segmenter import Segmenter
from tests import tiny


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    return build_graphs(tiny.model(tiny.config()))


@pytest.fixture(scope="module")
def reference(graphs: Graphs, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    bundle = Bundle(tiny_bundle)
    return open_in_torch(tmp_path_factory.mktemp("reference"), bundle.manifest, bundle.vocabulary, graphs)


@pytest.fixture(scope="module")
def gate(reference: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Gate:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 6, range(2), 96, 96)
    return Gate(reference, unlabelled(from_folder(folder / "images", least=1)), concepts=2)


LAYERS: tuple[Layer, ...] = (
    ("clip", "clip.blocks.1.mlp.c_fc"),
    ("image", "blocks.0.lin1"),
    ("image", "blocks.0.lin2"),
    ("concept", "first_up"),
    ("concept", "blocks.0.lin1"),
    ("concept", "blocks.0.attention.qkv"),
)


@pytest.fixture
def ranges(graphs: Graphs) -> dict[Layer, Range]:
    """Of a few layers; that of one is much too wide."""
    observer = Observer(graphs)
    with observer.watching():
        for graph in (graphs.clip, graphs.image, graphs.concept):
            graph.run(graph.example())
    found = observer.ranges("minmax")
    wide = found["concept", "blocks.0.lin1"]
    return {
        **{layer: found[layer] for layer in LAYERS},
        ("concept", "blocks.0.lin1"): Range(500 * wide.low, 500 * wide.high),
    }


def test_blocks_are_of_one_graph_and_what_is_in_none_stands_alone() -> None:
    assert blocks(dict.fromkeys(LAYERS)) == [LAYERS[:1], LAYERS[1:3], LAYERS[3:4], LAYERS[4:]]


def test_the_layer_that_costs_most_comes_first(
    gate: Gate, reference: Segmenter, graphs: Graphs, ranges: dict[Layer, Range]
) -> None:
    found = rank(gate, reference, tuple(graphs), ranges, seconds=1e6)
    assert found.groups[0] == (("concept", "blocks.0.lin1"),)
    assert sorted(found.groups) == sorted((layer,) for layer in LAYERS)
    assert found.unmeasured == 0
    measured = [one.mean_iou for one in found.sensitivity]
    assert measured == sorted(measured)
    assert [((one.graph, one.layer),) for one in found.sensitivity] == list(found.groups)
    assert found.most_sensitive(2) == {found.groups[0][0], found.groups[1][0]}


def test_blocks_where_layers_take_too_long_and_none_after_the_time(
    gate: Gate,
    reference: Segmenter,
    graphs: Graphs,
    ranges: dict[Layer, Range],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A try takes 1 second of 4.5: too few for six layers, and the last of four blocks is begun too late."""
    ticks = iter([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    monkeypatch.setattr(ranking, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    lines: list[str] = []
    found = rank(gate, reference, tuple(graphs), ranges, 4.5, lines.append)
    assert set(found.groups[:3]) == {LAYERS[:1], LAYERS[1:3], LAYERS[3:4]}
    assert found.groups[3] == LAYERS[4:]
    assert found.unmeasured == 1
    names = {one.layer for one in found.sensitivity}
    assert names == {"clip.blocks.1.mlp.c_fc", "blocks.0, 2 layers", "first_up"}
    assert lines[-1] == "tried 3 of 4 layers or blocks"
    place = found.groups.index(LAYERS[1:3])
    assert found.reason(LAYERS[2]) == f"mask IoU {found.sensitivity[place].mean_iou:.4f} with its block, 2 layers"
    assert found.reason(LAYERS[5]) == "not tried: the time limit was reached"
    assert found.most_sensitive(4) == set(LAYERS)


def test_layers_are_sound_again_after_they_were_tried(
    gate: Gate, reference: Segmenter, graphs: Graphs, ranges: dict[Layer, Range]
) -> None:
    rank(gate, reference, tuple(graphs), {LAYERS[4]: ranges[LAYERS[4]]}, seconds=1e6)
    assert {pair.iou for pair in gate.measure(reference)} == {1.0}


LIMIT = 0.9


def judged(iou: float, after: int = 50) -> TargetQuality:
    """What a gate would find: by labels, PyTorch's mask has an IoU of 0.5, the target's of ``after`` in a hundred."""
    pair = MaskPair(Path("a.png"), "car", iou, labelled_before=Overlap(50, 100), labelled_after=Overlap(after, 100))
    return TargetQuality("onnxruntime", (pair,), GateLimits(LIMIT, 0.01))


@pytest.mark.parametrize(
    ("attempts", "expected", "tried"),
    [
        ([(0.5, 50), (0.95, 50), (0.99, 50)], 1, 2),  # passes, and nothing is tried after it
        ([(0.5, 50), (0.7, 50), (0.6, 50), (0.4, 50)], 1, 4),
        ([(0.8, 50), (0.7, 50), (0.6, 50), (0.4, 50)], 0, 4),
        ([(0.1, 50), (0.2, 50), (0.3, 50), (0.4, 50)], 3, 4),
        ([(0.6, 50), (0.6, 50), (0.6, 50), (0.6, 50)], 0, 4),  # the fewest layers in float
        ([(0.99, 20), (0.95, 40), (0.97, 30), (0.96, 35)], 1, 4),  # the least drop, not the best agreement
        ([(0.8, 50), (0.99, 30), (0.85, 50), (0.89, 45)], 3, 4),  # what both limits are missed by, together
    ],
)
def test_the_best_attempt_lies_in_the_bundle(
    attempts: list[tuple[float, int]], expected: int, tried: int, tiny_bundle: Path, tmp_path: Path
) -> None:
    manifest, names = Bundle(tiny_bundle).manifest, ("image", "text")
    written = tmp_path / "bundle" / "onnxruntime"
    written.mkdir(parents=True)
    made: list[TargetAttempt] = []

    def attempt(in_float: frozenset[Layer]) -> TargetAttempt:
        number = len(made)
        for name in names:
            (written / f"{name}.onnx").write_text(f"{name} {number}")
        (written / "image.onnx.data").unlink(missing_ok=True)
        if number == 1:
            (written / "image.onnx.data").write_text("weights 1")
        (written / "text_row.onnx").write_text("of another graph")
        found = replace(manifest, created={"number": number})
        made.append(TargetAttempt(found, judged(*attempts[number]), in_float))
        return made[-1]

    groups = tuple((("image", f"layer {i}"),) for i in range(6))
    ranked = Ranking(groups, tuple(Sensitivity("image", f"layer {i}", i / 10, 0.0) for i in range(6)))
    saved = SavedAttempt(tmp_path / "bundle", "onnxruntime", names, SavedGraphs(tmp_path / "saved"))
    lines: list[str] = []
    best = best_attempt(attempt(frozenset()), ranked, attempt, saved, lambda: False, lines.append)
    assert len(made) == tried
    assert best is made[expected]
    assert [len(one.in_float) for one in made] == [0, 1, 2, 4][:tried]
    assert [(written / f"{name}.onnx").read_text() for name in names] == [f"{name} {expected}" for name in names]
    assert (written / "image.onnx.data").exists() == (expected == 1)
    assert (written / "text_row.onnx").read_text() == "of another graph"
    if expected < tried - 1:
        listed = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
        assert listed["created"]["number"] == expected
        assert lines[-1] == f"onnxruntime: the best of these has {len(best.in_float)} layers in float"


def test_layers_are_not_kept_beyond_the_allowed_size(tiny_bundle: Path, tmp_path: Path) -> None:
    """The second attempt is larger than allowed: the first stays, and no third is made."""
    manifest = Bundle(tiny_bundle).manifest
    written = tmp_path / "bundle" / "onnxruntime"
    written.mkdir(parents=True)
    made: list[TargetAttempt] = []

    def attempt(in_float: frozenset[Layer]) -> TargetAttempt:
        (written / "image.onnx").write_text(f"{len(in_float)} layers")
        made.append(TargetAttempt(manifest, judged(0.8 + len(made) / 20, 50), in_float))
        return made[-1]

    groups = tuple((("image", f"layer {i}"),) for i in range(6))
    ranked = Ranking(groups, tuple(Sensitivity("image", f"layer {i}", i / 10, 0.0) for i in range(6)))
    saved = SavedAttempt(tmp_path / "bundle", "onnxruntime", ("image",), SavedGraphs(tmp_path / "saved"))
    lines: list[str] = []
    best = best_attempt(attempt(frozenset()), ranked, attempt, saved, lambda: len(made) > 1, lines.append)
    assert best is made[0]
    assert len(made) == 2
    assert (written / "image.onnx").read_text() == "0 layers"
    assert lines[-2] == "onnxruntime: with 1 layer kept it is larger than --max-size"
