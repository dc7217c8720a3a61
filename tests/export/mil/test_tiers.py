"""The tiers of MIL parity catch what they are there for: each mistake below is in a package that opens and runs."""

from __future__ import annotations

import gc
import shutil
import struct
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import ExportError
from cgsam_edge.export import mapped
from cgsam_edge.export import parity as mask_parity
from cgsam_edge.export.graphs.build import Graph, Graphs, build_graphs
from cgsam_edge.export.mil import evaluator, parity
from cgsam_edge.export.mil.constants import compare_constants
from cgsam_edge.export.mil.evaluator import Evaluator
from cgsam_edge.export.mil.package import load_function
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.targets import coreml
from cgsam_edge.parity import TargetParity
from tests.export.mil.packages import Spoilt


@dataclass(frozen=True)
class Written:
    """The tiny model's graphs, its packages in both precisions, and the tensors of a segmentation."""

    graphs: Graphs
    folder: Path
    values: dict[str, torch.Tensor]

    def package(self, graph: str, precision: str) -> Path:
        return self.folder / precision / "coreml" / f"{graph}.mlpackage"

    def graph(self, name: str) -> Graph:
        return next(graph for graph in self.graphs if graph.name == name)


@pytest.fixture(scope="module")
def written(model: ReferenceModel, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    graphs, folder = build_graphs(model), tmp_path_factory.mktemp("written")
    for precision in ("fp32", "fp16"):
        (folder / precision).mkdir()
        for graph in graphs:
            coreml.convert(graph, folder / precision, precision)
    return Written(graphs, folder, parity.example_values(graphs, Bundle(tiny_bundle)))


Mistake = Callable[[Spoilt], None]


def wrong_permutation(package: Spoilt) -> None:
    """The bias by the query's column is left as that of its row: side by side, so that the shape stays."""

    def square(op: Any) -> bool:
        shape = package.shape(op)
        return package.constant(op, "perm").ints.values == [0, 2, 1, 3] and len(shape) == 4 and shape[1] == shape[2] > 1

    package.constant(package.of("transpose", where=square), "perm").ints.values[:] = [0, 1, 2, 3]


def wrong_axis(package: Spoilt) -> None:
    op = package.of("softmax", where=lambda op: package.shape(op)[-1] == package.shape(op)[-2])
    package.constant(op, "axis").ints.values[:] = [-2]


def other_epsilon(package: Spoilt) -> None:
    tensor = package.constant(package.of("layer_norm"), "epsilon")
    if tensor.WhichOneof("value") == "bytes":
        tensor.bytes.values = struct.pack("<e", 1e-3)
    else:
        tensor.floats.values[:] = [1e-3]


def other_gelu(package: Spoilt) -> None:
    """All of them, as a converter would mistake them: a single one may be too faint."""
    for op in package.operations.values():
        if op.type == "gelu":
            package.constant(op, "mode").strings.values[:] = ["TANH_APPROXIMATION"]


def one_weight(package: Spoilt) -> None:
    package.change_weight(package.of("linear"), "weight", lambda weight: weight + 0.1)


MISTAKES = pytest.mark.parametrize(
    ("graph", "mistake"),
    [
        ("image", wrong_permutation),
        ("decoder", wrong_axis),
        ("image", other_epsilon),
        ("image", other_gelu),
        ("concept", one_weight),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)


@MISTAKES
def test_the_twin_catches(written: Written, graph: str, mistake: Mistake, tmp_path: Path) -> None:
    """In single precision, outputs alone tell."""
    sound = written.package(graph, "fp32")
    parity.check_twin(written.graph(graph), sound, written.values)
    package = Spoilt(sound, tmp_path)
    mistake(package)
    with pytest.raises(ExportError, match=rf"MIL parity, tier fp32 twin: .* of the graph '{graph}' has an error of"):
        parity.check_twin(written.graph(graph), package.save(), written.values)


@MISTAKES
def test_the_constants_catch(written: Written, graph: str, mistake: Mistake, tmp_path: Path) -> None:
    """In half precision a small mistake hides in the noise of the outputs, but not from a look at the twin."""
    sound, twin = written.package(graph, "fp16"), load_function(written.package(graph, "fp32"))
    assert compare_constants(twin, load_function(sound), sound) > 100
    package = Spoilt(sound, tmp_path)
    mistake(package)
    with pytest.raises(ExportError, match=rf"tier constants: .* of {graph}\.mlpackage is not the twin's value"):
        compare_constants(twin, load_function(package.save()), package.path)


def test_another_operator_is_no_twin(written: Written) -> None:
    twin, other = (load_function(written.package(graph, "fp32")) for graph in ("image", "concept"))
    with pytest.raises(ExportError, match="other operators than its fp32 twin"):
        compare_constants(twin, other, written.package("concept", "fp32"))


def test_half_precision_catches_what_is_no_rounding(written: Written, tmp_path: Path) -> None:
    package = Spoilt(written.package("image", "fp16"), tmp_path)
    wrong_permutation(package)
    with pytest.raises(ExportError, match=r"tier fp16: .* of the graph 'image' has a cosine of"):
        parity.check_half(written.graph("image"), package.save(), written.values, {})


def test_half_precision_passes_and_its_peaks_are_noted(written: Written) -> None:
    for graph in written.graphs:
        peaks: dict[str, float] = {}
        found = parity.check_half(graph, written.package(graph.name, "fp16"), written.values, peaks)
        assert {one.tensor for one in found} == set(graph.outputs)
        assert 1 < max(peaks.values()) < 65504


def test_rounding_can_be_switched_off(written: Written) -> None:
    """What is left is the rounding of the weights: nearer to PyTorch, and not there."""
    graph, package = written.graphs.image, written.package("image", "fp16")
    given, expected = {"pixels": written.values["pixels"]}, written.values["tokens"]
    errors = [
        parity.compare_outputs(
            "image", "tokens", expected, Evaluator(package, single=single).run(given)["tokens"]
        ).max_error
        for single in (True, False)
    ]
    assert 1e-5 < errors[0] < errors[1] < 0.02, graph.name


def test_the_text_graph_looks_up_more_tokens_than_int16_counts(model: ReferenceModel, tmp_path: Path) -> None:
    """In half precision coremltools makes its 49,408 places of the table uint16."""
    text = build_graphs(model, text=True).text[0]
    spec = coreml.convert(text, tmp_path, "fp16")
    given = text.example()
    (found,) = parity.check_half(text, tmp_path / spec.path, {**given, **text.run(given)}, {})
    assert found.cosine > 0.99999


def test_programs_do_not_pile_up(
    written: Written, model: ReferenceModel, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has all weights of its graph and reference cycles, so without collections many would stay."""
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    counts: list[int] = []

    def counted(path: Path) -> Any:
        function = load_function(path)
        alive.add(function)
        counts.append(len(alive))
        return function

    monkeypatch.setattr(mapped, "WORTH", 0)
    monkeypatch.setattr(parity, "load_function", counted)
    monkeypatch.setattr(evaluator, "load_function", counted)
    monkeypatch.setattr(mask_parity, "check", lambda *_: TargetParity(()))  # the masks: another test's
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    shutil.copytree(written.folder / "fp16" / "coreml", bundle / "coreml")
    gc.disable()
    try:
        found = parity.check(model, written.graphs, bundle, "fp16", ios=16)
    finally:
        gc.enable()
    assert found.tiers is not None
    assert set(found.tiers) == {"fp32 twin", "constants", "fp16"}
    assert len(counts) == 5 * len(list(written.graphs))
    assert max(counts) == 2  # a program and its twin
