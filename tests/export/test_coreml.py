"""What is written for Core ML."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import coremltools as ct
import pytest
import torch

from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.errors import BackendError, ExportError, InputError
from cgsam_edge.export.graphs.bounded import Bounded
from cgsam_edge.export.graphs.build import Graph, Graphs, build_graphs
from cgsam_edge.export.mil.evaluator import Evaluator
from cgsam_edge.export.mil.package import read_spec
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.export.targets import IOS_VERSIONS
from cgsam_edge.export.targets import coreml as target
from tests import tiny
from tests.conftest import relative_error, slow

SPECIFICATION = {16: 7, 17: 8, 18: 9}
LIMITS = {"fp32": 1e-4, "fp16": 0.03}


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    return build_graphs(tiny.model(tiny.config()))


def realistic(graph: Graph) -> dict[str, torch.Tensor]:
    """Inputs within the graph's limits."""
    made = {}
    for name, value in graph.example().items():
        low, high = graph.limits[name]
        made[name] = (value.abs() * high / 4).clamp(low, high) if low == 0 else value.clamp(low, high)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("ios", IOS_VERSIONS)
def test_every_ios_and_precision(graphs: Graphs, ios: int, precision: str, tmp_path: Path) -> None:
    spec = target.convert(graphs.decoder, tmp_path, precision, ios)
    assert (spec.path, spec.precision) == ("coreml/decoder.mlpackage", precision)
    assert {t.name: t.shape for t in spec.inputs} == dict(graphs.decoder.inputs)
    assert tuple(t.name for t in spec.outputs) == graphs.decoder.outputs
    assert read_spec(tmp_path / spec.path).specificationVersion == SPECIFICATION[ios]
    inputs = realistic(graphs.decoder)
    expected = graphs.decoder.run(inputs)["mask_logits"]
    got = Evaluator(tmp_path / spec.path).run(inputs)["mask_logits"]
    assert relative_error(got, expected) < LIMITS[precision]


@pytest.mark.slow
@pytest.mark.parametrize("ios", [16, 18])
def test_all_graphs_for_the_other_versions(graphs: Graphs, ios: int, tmp_path: Path) -> None:
    for graph in (graphs.clip, graphs.image, graphs.concept):
        path = tmp_path / target.convert(graph, tmp_path, "fp32", ios).path
        inputs = realistic(graph)
        expected = graph.run(inputs)
        for name, got in Evaluator(path).run(inputs).items():
            assert relative_error(got, expected[name]) < LIMITS["fp32"], name


def test_borders_are_float32_and_described(tiny_coreml_bundle: Path) -> None:
    for name, graph in Bundle(tiny_coreml_bundle).graphs("coreml").items():
        description = read_spec(tiny_coreml_bundle / graph.path).description
        for tensor in (*description.input, *description.output):
            assert tensor.type.multiArrayType.dataType == ct.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32
            assert tensor.shortDescription == target.DESCRIPTIONS[tensor.name], name
        metadata = description.metadata
        assert metadata.author == "cgsam-edge"
        assert metadata.versionString
        assert metadata.shortDescription.startswith("CLIP-Guided SAM, once per")


@pytest.mark.slow
def test_same_input_same_packages(graphs: Graphs, tiny_coreml_bundle: Path, anew: None, tmp_path: Path) -> None:
    for graph in graphs:
        path = tmp_path / target.convert(graph, tmp_path, "fp16").path
        first = tiny_coreml_bundle / "coreml" / path.name
        files = {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}
        assert {p.name for p in files} == {"Manifest.json", "model.mlmodel", "weight.bin"}
        assert files == {p.relative_to(first): p.read_bytes() for p in first.rglob("*") if p.is_file()}


def test_nothing_of_the_machine_is_inside(tiny_coreml_bundle: Path) -> None:
    models = list((tiny_coreml_bundle / "coreml").rglob("model.mlmodel"))
    assert len(models) == 4
    for path in models:
        content = path.read_bytes()
        assert b"site-packages" not in content
        assert str(Path.cwd()).encode() not in content
        assert b"conversion_date" not in content


def test_coremltools_opening_a_package_leaves_its_bytes(tiny_coreml_bundle: Path) -> None:
    """Its own reader writes the package's index anew, and the bundle's hashes must survive that."""
    packages = list((tiny_coreml_bundle / "coreml").glob("*.mlpackage"))
    assert len(packages) == 4
    for path in packages:
        ct.models.MLModel(str(path), skip_model_load=True)
    Bundle(tiny_coreml_bundle).verify()


@pytest.mark.parametrize("value", [3e38, slow(-3e38), slow(7e4), slow(0.0)])
def test_any_finite_input_gives_finite_outputs(graphs: Graphs, tiny_coreml_bundle: Path, value: float) -> None:
    generator = torch.Generator().manual_seed(0)
    for graph in graphs:
        evaluator = Evaluator(tiny_coreml_bundle / "coreml" / f"{graph.name}.mlpackage")
        constant = {name: torch.full(shape, value) for name, shape in graph.inputs.items()}
        noise = {name: torch.randn(shape, generator=generator) * value for name, shape in graph.inputs.items()}
        noise = {name: tensor.clamp(-3.4e38, 3.4e38) for name, tensor in noise.items()}
        for given in (constant, noise):
            for name, got in evaluator.run(given).items():
                assert torch.isfinite(got).all(), (graph.name, name)


def test_bounds_change_nothing_within_the_contract(graphs: Graphs) -> None:
    for graph in graphs:
        inputs = realistic(graph)
        expected = graph.run(inputs)
        with torch.inference_mode():
            got = Bounded(graph)(*inputs.values())
        for name, value in zip(graph.outputs, got, strict=True):
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5, msg=name)


def test_the_export_measures_every_tier(tiny_coreml_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = Bundle(tiny_coreml_bundle).manifest
    assert {graph.precision for graph in manifest.targets["coreml"].values()} == {"fp16"}
    found = manifest.parity["coreml"]
    assert found["kind"] == "MIL parity"
    assert list(found["tiers"]) == ["fp32 twin", "constants", "fp16", "masks"]
    assert max(one["max_error"] for one in found["tiers"]["fp32 twin"]) < 1e-4
    assert min(found["tiers"]["constants"].values()) > 100
    assert min(one["cosine"] for one in found["tiers"]["fp16"]) > 0.99999
    assert found["tiers"]["masks"][0]["mask_iou"] >= 0.99
    assert {one["rule"] for one in found["lint"]} == {"epsilon"}
    assert manifest.created["ios"] == 17
    assert main(["info", str(tiny_coreml_bundle)]) == 0
    printed = capsys.readouterr().out
    assert "MIL parity" in printed
    assert "nothing ran on Apple's hardware" in printed
    assert "Core ML parity" not in printed


@pytest.fixture
def options(tiny_checkpoint: Path, concepts_file: Path, tmp_path: Path) -> ExportOptions:
    return ExportOptions(tiny_checkpoint, concepts_file, tmp_path / "made.cgsam", targets=("onnxruntime", "coreml"))


def test_each_target_has_its_default_precision(options: ExportOptions) -> None:
    assert [options.precision_of(name, "image") for name in options.targets] == ["fp32", "fp16"]
    assert replace(options, precision="fp32").precision_of("coreml", "image") == "fp32"


@pytest.mark.slow
def test_one_bundle_for_two_targets_in_fp32(options: ExportOptions) -> None:
    lines: list[str] = []
    bundle = Bundle(export_bundle(replace(options, precision="fp32", ios=18), progress=lines.append))
    assert set(bundle.manifest.targets) == {"onnxruntime", "coreml"}
    assert list(bundle.manifest.parity["coreml"]["tiers"]) == ["fp32 twin", "masks"]
    assert bundle.manifest.parity["coreml"]["tiers"]["masks"][0]["max_error"] < 1e-3
    assert any("MIL parity, fp32 twin" in line for line in lines)
    assert bundle.manifest.created["ios"] == 18


def test_wrong_settings_are_told_before_any_work(options: ExportOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no iOS version 15; expected one of 16, 17, 18"):
        replace(options, ios=15)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BackendError, match=r"target 'coreml' needs coremltools: pip install 'cgsam-edge\[coreml\]'"):
        replace(options, ios=16)


def test_what_cannot_be_converted_is_named(graphs: Graphs, tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"y": torch.linalg.eigvals(x).real}

    odd = Graph("odd", Odd(), {"x": (3, 3)}, ("y",))
    with pytest.raises(ExportError, match="the graph 'odd' could not be converted to Core ML"):
        target.convert(odd, tmp_path, "fp32")


def test_numbers_that_fp16_holds_are_what_is_written(tiny_coreml_bundle: Path) -> None:
    evaluator = Evaluator(tiny_coreml_bundle / "coreml" / "image.mlpackage")
    weights = [v for step in evaluator.steps for v in step.fixed.values() if isinstance(v, torch.Tensor) and v.ndim > 1]
    assert weights
    assert {w.dtype for w in weights} == {torch.float16}
    assert all(torch.isfinite(w).all() for w in weights)
