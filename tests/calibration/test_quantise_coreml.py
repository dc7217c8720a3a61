"""Quantised Core ML packages: what becomes small, what does not, and how far the outputs move."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import coremltools as ct
import numpy as np
import pytest
import torch
from torch import nn

from cgsam_edge.calibration.quantise import coreml as quantiser
from cgsam_edge.errors import InputError
from cgsam_edge.export.graphs.build import Graph, Graphs
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.mil.evaluator import Evaluator
from cgsam_edge.export.mil.package import load_function, read_spec
from cgsam_edge.export.mil.parity import compare_outputs
from cgsam_edge.export.targets import COREML_INT8, coreml
from tests.calibration.coreml_packages import FLAT, TWINS, Written, dense, feeds, files, linears_of, samples, weight_of
from tests.conftest import slow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sample = Mapping[str, NDArray[np.float32]]

COSINES = {"weights": 0.9999, "w8a8": 0.9995, "palette6": 0.9995, "palette4": 0.99}
"""Least cosine of each output with that of the package in half precision."""


def assert_near(graph: Graph, before: Path, after: Path, limit: float) -> None:
    given = {name: torch.from_numpy(value) for name, value in samples(graph, range(7, 8))[0].items()}
    expected, got = Evaluator(before).run(given), Evaluator(after).run(given)
    for name in graph.outputs:
        found = compare_outputs(graph.name, name, expected[name], got[name])
        assert limit <= found.cosine < 1, name
        assert found.max_error > 1e-4, name  # something was quantised


@pytest.mark.parametrize("kind", [*tuple(COREML_INT8)[:1], *map(slow, tuple(COREML_INT8)[1:])])
def test_each_kind(coreml_graphs: Graphs, coreml_written: Written, coreml_copied: Written, kind: str) -> None:
    graph, (folder, spec) = coreml_graphs.concept, coreml_copied
    made = quantiser.quantise(graph, folder, spec, coreml_int8=kind, feeds=feeds(graph))
    assert made == replace(spec, precision={"palette6": "int6", "palette4": "int4"}.get(kind, "int8"))
    before, after = coreml_written[0] / spec.path, folder / spec.path
    assert_near(graph, before, after, COSINES[kind])
    blob = Path("Data/com.apple.CoreML/weights/weight.bin")
    layers = sum(layer.weight.numel() for layer in quantisable(graph).values()) - 64 * 32  # twins are one
    saved = {"palette6": 2 - 6 / 8, "palette4": 2 - 4 / 8}.get(kind, 1) * layers
    assert (before / blob).stat().st_size - (after / blob).stat().st_size > 0.5 * saved  # less scales and padding
    assert [path.name for path in (folder / "coreml").iterdir()] == [after.name]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["w8a8", "palette4"])
def test_same_input_same_bytes(coreml_graphs: Graphs, coreml_written: Written, tmp_path: Path, kind: str) -> None:
    packages, graph, (sound, spec) = [], coreml_graphs.concept, coreml_written
    for name in ("first", "second"):
        folder = Path(shutil.copytree(sound, tmp_path / name))
        quantiser.quantise(graph, folder, spec, coreml_int8=kind, feeds=feeds(graph))
        packages.append(folder / spec.path)
        ct.models.MLModel(str(packages[-1]), skip_model_load=True)  # its reader writes the index anew
    assert files(packages[0]) == files(packages[1])
    assert {path.name for path in files(packages[0])} == {"Manifest.json", "model.mlmodel", "weight.bin"}


@pytest.mark.slow
def test_borders_and_descriptions_stay(coreml_graphs: Graphs, coreml_written: Written, coreml_copied: Written) -> None:
    folder, spec = coreml_copied
    quantiser.quantise(coreml_graphs.concept, folder, spec, coreml_int8="w8a8", feeds=feeds(coreml_graphs.concept))
    before, after = (read_spec(root / spec.path).description for root in (coreml_written[0], folder))
    assert after == before
    assert all(
        tensor.type.multiArrayType.dataType == ct.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32
        for tensor in (*after.input, *after.output)
    )


def test_only_the_layers_become_small(coreml_graphs: Graphs, coreml_copied: Written) -> None:
    """Kept layers are the very numbers that they were; of equal weights, both stay."""
    folder, spec = coreml_copied
    kept = frozenset({"first_up", TWINS[1]})
    before = load_function(folder / spec.path)
    quantiser.quantise(coreml_graphs.concept, folder, spec, in_float=kept)
    for name, layer in quantisable(coreml_graphs.concept).items():
        if name == TWINS[1]:
            continue
        op = weight_of(folder / spec.path, name)
        exact = layer.weight.double().numpy()
        if name in (*kept, TWINS[0]):
            assert op.op_type == "const", name
            assert op.outputs[0].val.dtype == np.float16
            np.testing.assert_array_equal(dense(op), exact.astype(np.float16))
        else:
            assert op.op_type == "constexpr_affine_dequantize", name
            assert op.quantized_data.val.dtype == np.int8
            step = np.abs(exact).max(axis=1, keepdims=True) / 127
            assert (np.abs(dense(op) - exact) <= 0.6 * step + 1.1e-6).all(), name
    after = load_function(folder / spec.path)
    small = [op for op in after.operations if op.op_type.startswith("constexpr_")]
    assert len(small) == len(quantisable(coreml_graphs.concept)) - 3
    kinds = [[op.op_type for op in f.operations if "const" not in op.op_type] for f in (before, after)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize(("kind", "colours"), [("palette6", 64), slow("palette4", 16)])
def test_palettes(coreml_graphs: Graphs, coreml_copied: Written, kind: str, colours: int) -> None:
    folder, spec = coreml_copied
    quantiser.quantise(coreml_graphs.concept, folder, spec, coreml_int8=kind)
    op = weight_of(folder / spec.path, "blocks.0.attention.qkv")
    exact = quantisable(coreml_graphs.concept)["blocks.0.attention.qkv"].weight.double().numpy()
    assert op.op_type == "constexpr_lut_to_dense"
    assert len(np.unique(dense(op))) == colours
    uniform = (exact.max() - exact.min()) / (colours - 1) / np.sqrt(12)
    assert np.sqrt(np.square(dense(op) - exact).mean()) < uniform  # better than evenly spaced ones


def quantized_range(package: Path, layer: str) -> tuple[float, float]:
    """The greatest values into and out of a layer that 8 bits hold."""
    (op,) = linears_of(package, layer)
    (after,) = op.outputs[0].child_ops
    before = op.inputs["x"].op
    assert (before.op_type, after.op_type) == ("dequantize", "quantize")
    return float(before.scale.val) * 127, float(after.scale.val) * 127


def torch_range(graph: Graph, layer: nn.Linear, given: list[dict[str, NDArray[np.float32]]]) -> tuple[float, float]:
    """The greatest values into and out of a layer, by PyTorch."""
    seen: list[tuple[float, float]] = []
    hook = layer.register_forward_hook(lambda _, x, y: seen.append((x[0].abs().max().item(), y.abs().max().item())))
    for sample in given:
        graph.run({name: torch.from_numpy(value) for name, value in sample.items()})
    hook.remove()
    return max(x for x, _ in seen), max(y for _, y in seen)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_activations_have_the_ranges_of_all_samples(
    coreml_graphs: Graphs, coreml_copied: Written, scale: float
) -> None:
    graph, (folder, spec) = coreml_graphs.concept, coreml_copied
    quantiser.quantise(
        graph, folder, spec, coreml_int8="w8a8", in_float=frozenset({"first_up"}), feeds=feeds(graph, scale)
    )
    given = samples(graph, range(3), scale)
    for name in ("blocks.0.attention.qkv", "blocks.0.up", FLAT, "blocks.1.lin2"):
        layer = quantisable(graph)[name]
        expected = torch_range(graph, layer, given)
        assert quantized_range(folder / spec.path, name) == pytest.approx(expected, rel=0.01), name
        assert max(torch_range(graph, layer, [one]) for one in given[:2]) != pytest.approx(expected, rel=1e-6)
    (first,) = linears_of(folder / spec.path, "first_up")
    assert first.inputs["x"].op.op_type != "dequantize"  # a kept layer's activations stay too


@pytest.mark.slow
def test_zero_activations_have_a_scale(coreml_graphs: Graphs, coreml_copied: Written) -> None:
    """The hidden part, all zeros, is what goes into the adapter: its own range would have no scale."""
    graph, (folder, spec) = coreml_graphs.concept, coreml_copied
    zeros = {name: np.zeros(shape, np.float32) for name, shape in graph.inputs.items()}
    quantiser.quantise(graph, folder, spec, coreml_int8="w8a8", feeds=lambda: iter([zeros]))
    made = Evaluator(folder / spec.path).run({name: torch.from_numpy(value) for name, value in zeros.items()})
    assert all(value.isfinite().all() for value in made.values())


@pytest.mark.slow
@pytest.mark.parametrize("ios", [16, 18])
def test_other_versions(coreml_graphs: Graphs, tmp_path: Path, ios: int) -> None:
    graph = coreml_graphs.concept
    spec = coreml.convert(graph, tmp_path, "fp16", ios)
    package = tmp_path / spec.path
    before = Path(shutil.copytree(package, tmp_path / "before.mlpackage"))
    version = read_spec(package).specificationVersion
    if ios < 17:
        with pytest.raises(InputError, match=r"concept\.mlpackage: quantised activations \(w8a8\) need iOS 17.*Export"):
            quantiser.quantise(graph, tmp_path, spec, coreml_int8="w8a8", feeds=feeds(graph))
        assert files(before) == files(package)
    kind = "weights" if ios < 17 else "w8a8"
    quantiser.quantise(graph, tmp_path, spec, coreml_int8=kind, feeds=feeds(graph))
    assert read_spec(package).specificationVersion == version
    assert_near(graph, before, package, COSINES[kind])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clip", "image"])
def test_the_graphs_of_an_image(name: str, coreml_graphs: Graphs, tmp_path: Path) -> None:
    """CLIP's surgery calls a layer twice, and the last block's ``up`` is not called: it is in the graph concept."""
    graph = getattr(coreml_graphs, name)
    assert "blocks.1.up" not in quantisable(graph)
    spec = coreml.convert(graph, tmp_path, "fp16")
    before = Path(shutil.copytree(tmp_path / spec.path, tmp_path / "before.mlpackage"))
    quantiser.quantise(graph, tmp_path, spec)
    after = tmp_path / spec.path
    assert_near(graph, before, after, 0.9995)
    if name == "clip":
        assert len(linears_of(after, "clip.blocks.3.attention.proj")) == 2
    layers = quantisable(graph)
    assert {weight_of(after, layer).op_type for layer in layers} == {"constexpr_affine_dequantize"}
    assert sum(op.op_type.startswith("constexpr_") for op in load_function(after).operations) == len(layers)


def test_what_has_no_layers_stays(coreml_graphs: Graphs, coreml_copied: Written) -> None:
    folder, spec = coreml_copied
    before = files(folder)
    decoder = replace(spec, path="coreml/decoder.mlpackage")
    assert quantiser.quantise(coreml_graphs.decoder, folder, decoder) == decoder
    everything = frozenset(quantisable(coreml_graphs.concept))
    assert quantiser.quantise(coreml_graphs.concept, folder, spec, in_float=everything) == spec
    assert quantiser.quantise(coreml_graphs.concept, folder, spec, in_float=everything - {TWINS[0]}) == spec
    assert files(folder) == before
