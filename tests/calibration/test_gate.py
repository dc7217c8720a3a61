"""INT8 exports held to PyTorch's masks: what passes, what is repaired, what is refused."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx import numpy_helper

from cgsam_edge import Segmenter
from cgsam_edge.bundle import Bundle
from cgsam_edge.calibration import calibrate
from cgsam_edge.cli import export_main
from cgsam_edge.errors import GateError, InputError
from cgsam_edge.export import finish
from cgsam_edge.export import opened as targets
from cgsam_edge.export.finish import export_checked
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.export.quality_options import QualityOptions
from cgsam_edge.manifest import GraphSpec
from cgsam_edge.quality.photos import from_folder
from cgsam_edge.quality.scenes.__main__ import write_scenes

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")

HARMED = "blocks.0.lin1"
"""A layer of the graph `image` whose scales some tests break."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_scenes(folder, 6, range(12), 128, 128)
    return folder / "images"


@pytest.fixture(scope="module")
def options(tiny_checkpoint: Path, concepts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportOptions:
    output = tmp_path_factory.mktemp("int8") / "tiny.cgsam"
    return ExportOptions(tiny_checkpoint, concepts_file, output, precision="int8")


@pytest.fixture(scope="module")
def quality(photos: Path) -> QualityOptions:
    return QualityOptions(calibration=photos, gate_count=3, mean_iou=0.0)


@pytest.fixture(scope="module")
def small(options: ExportOptions, quality: QualityOptions) -> Bundle:
    """The tiny model in INT8 for both engines, whatever its masks."""
    both = replace(options, targets=("onnxruntime", "openvino"))
    lines: list[str] = []
    path = export_checked(both, quality, lines.append)
    assert path is not None
    assert last_stage(lines) in {(n, n) for n in range(99)}  # as many as were promised
    return Bundle(path)


def last_stage(lines: list[str]) -> tuple[int, int]:
    """The number of the last stage of progress, and how many there are."""
    done, total = re.findall(r"^\[(\d+)/(\d+)\]", "\n".join(lines), re.MULTILINE)[-1]
    return int(done), int(total)


def iou(bundle: Bundle, target: str = "onnxruntime") -> float:
    found: float = bundle.manifest.quality["gate"][target]["mean_iou"]
    return found


def test_encoder_graphs_are_int8_and_the_rest_is_not(small: Bundle) -> None:
    for target in ("onnxruntime", "openvino"):
        precisions = {name: spec.precision for name, spec in small.manifest.targets[target].items()}
        assert precisions == {"image": "int8", "concept": "int8", "decoder": "fp16"}
    model = onnx.load(str(small.path / "onnxruntime" / "image.onnx"))
    made = {output: node for node in model.graph.node for output in node.output}
    kinds = {
        node.name.partition("#")[0]: [made[name].op_type for name in node.input if name in made]
        for node in model.graph.node
        if node.op_type == "MatMul"
    }
    assert kinds[HARMED] == ["DequantizeLinear", "DequantizeLinear"]
    products = [kind for name, kind in kinds.items() if "node_" in name]
    assert products
    assert all("DequantizeLinear" not in kind for kind in products)  # attention's own


def test_weights_have_a_scale_a_channel_and_seven_bits(small: Bundle) -> None:
    model = onnx.load(str(small.path / "onnxruntime" / "image.onnx"))
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weights = {name: value for name, value in held.items() if value.dtype == np.int8 and value.ndim == 2}
    assert len(weights) > 20
    assert max(np.abs(value).max() for value in weights.values()) <= 64
    scales = [value for name, value in held.items() if name.endswith("_scale") and value.ndim == 1 and value.size > 1]
    assert len(scales) >= len(weights)


def test_no_large_constant_of_openvino_is_stored_as_float32(small: Bundle) -> None:
    for graph in ("image", "concept"):
        held = openvino.Core().read_model(str(small.path / small.graphs("openvino")[graph].path)).get_ordered_ops()
        kinds = {
            op.get_element_type().get_type_name()
            for op in held
            if op.get_type_name() == "Constant" and op.data.size >= 1024
        }
        assert kinds == {"i8", "f16"}


def test_both_engines_stay_near_pytorch(small: Bundle) -> None:
    assert min(iou(small), iou(small, "openvino")) > 0.7  # seeded weights: their masks are no more than noise
    small.verify()
    for backend in ("onnxruntime", "openvino"):
        with Segmenter(small.path, backend=backend, device="cpu") as segmenter:
            assert np.isfinite(segmenter.segment(np.full((40, 60, 3), 90, np.uint8))["car"].logits).all()


def test_the_report_is_in_the_bundle(small: Bundle) -> None:
    assert {"report.html", "report.json"} <= set(small.manifest.files)
    found = json.loads((small.path / "report.json").read_text())
    assert {target["target"] for target in found["targets"]} == {"onnxruntime", "openvino"}
    assert small.manifest.quality["degraded"] is False


def test_every_concept_is_calibrated_on_as_often(tiny_bundle: Path, photos: Path, tmp_path: Path) -> None:
    with Segmenter(tiny_bundle) as segmenter:
        found = from_folder(photos)
        feeds = calibrate.Feeds(found, segmenter, tmp_path)
        drawn = [index for number in range(len(found.paths)) for index in feeds.concepts(number)]
        counts = np.bincount(drawn, minlength=len(segmenter.concepts))
        assert counts.min() > 0
        assert counts.max() - counts.min() <= 1
        few = feeds.first(3)
        assert len(few.photos.paths) == 3
        assert few.photos.paths == found.paths[:3]


@pytest.mark.slow
def test_the_same_photos_give_the_same_file(options: ExportOptions, quality: QualityOptions, tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        path = export_checked(replace(options, output=tmp_path / f"{name}.cgsam"), quality, lambda _: None)
        assert path is not None
        made.append((path / "onnxruntime" / "image.onnx").read_bytes())
    assert made[0] == made[1]


def broken(factor: float) -> Callable[..., GraphSpec]:
    """A quantiser that multiplies the scales of one layer's weights."""

    def quantise(target: str, graph: Any, folder: Path, *others: Any) -> GraphSpec:
        spec = targets.quantise(target, graph, folder, *others)
        if graph.name != "image":
            return spec
        model = onnx.load(str(folder / spec.path))
        made = {output: node for node in model.graph.node for output in node.output}
        product = next(node for node in model.graph.node if node.name == HARMED)
        weight = made.get(product.input[1])
        if weight is not None and weight.op_type == "DequantizeLinear":
            held = {tensor.name: tensor for tensor in model.graph.initializer}
            scale = held[weight.input[1]]
            scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(factor), scale.name))
            (folder / spec.path).write_bytes(model.SerializeToString())
        return spec

    return quantise


def harmful_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ranges of the harmed layer be as bad as its weights, so that the ranking can see it."""
    plain = calibrate.calibrate

    def spoilt(*arguments: Any) -> Any:
        found = plain(*arguments)
        held = found.ranges["image", HARMED]
        found.ranges["image", HARMED] = replace(held, low=held.low * 64, high=held.high * 64)
        return found

    monkeypatch.setattr(finish, "calibrate", spoilt)


def test_sabotage_is_caught_and_nothing_is_written(
    options: ExportOptions, quality: QualityOptions, small: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "quantise", broken(8.0))
    held = replace(quality, mean_iou=iou(small) - 0.02, repair_seconds=0.0)
    output = tmp_path / "bad.cgsam"
    with pytest.raises(GateError, match=r"mean mask IoU 0\.\d+, at least[\s\S]*worst picture scene_006_") as refusal:
        export_checked(replace(options, output=output), held, lambda _: None)
    assert refusal.value.exit_code == 4
    assert {path.name for path in tmp_path.iterdir()} == {"bad.report"}
    assert {path.name for path in (tmp_path / "bad.report").iterdir()} == {"report.html", "report.json"}
    assert "data:image" in (tmp_path / "bad.report" / "report.html").read_text()


@pytest.mark.slow
def test_one_harmful_layer_is_left_out(
    options: ExportOptions, quality: QualityOptions, small: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harmful_first(monkeypatch)
    held = replace(quality, mean_iou=iou(small) - 0.02)
    lines: list[str] = []
    path = export_checked(replace(options, output=tmp_path / "mended.cgsam"), held, lines.append)
    assert path is not None
    assert last_stage(lines)[0] == last_stage(lines)[1]
    bundle = Bundle(path)
    assert iou(bundle) >= held.mean_iou  # type: ignore[operator]
    kept = bundle.manifest.quality["kept"]
    assert HARMED in {entry["layer"] for entry in kept}
    assert len(kept) <= 4
    assert re.fullmatch(r"mask IoU 0\.\d{4} alone", next(k["reason"] for k in kept if k["layer"] == HARMED))


@pytest.mark.slow
def test_a_degraded_bundle_is_marked_and_warned_of(
    options: ExportOptions, quality: QualityOptions, tmp_path: Path
) -> None:
    held = replace(quality, mean_iou=1.0, allow_degraded=True, repair_seconds=0.0)
    lines: list[str] = []
    path = export_checked(replace(options, output=tmp_path / "bad.cgsam"), held, lines.append)
    assert path is not None
    assert any("does not pass and is written all the same" in line for line in lines)
    assert Bundle(path).manifest.quality["degraded"] is True
    with pytest.warns(UserWarning, match="exported although its masks are too far"), Segmenter(path):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Segmenter(export_bundle(replace(options, precision=None, output=tmp_path / "good.cgsam"))).close()


@pytest.mark.slow
def test_float_exports_pass_the_gate_and_say_so(
    options: ExportOptions, quality: QualityOptions, tmp_path: Path
) -> None:
    for precision in ("fp32", "fp16"):
        made = replace(options, precision=precision, output=tmp_path / f"{precision}.cgsam")
        path = export_checked(made, replace(quality, calibration=None, gate_count=2, mean_iou=None), lambda _: None)
        assert path is not None
        assert iou(Bundle(path)) >= 0.98
        assert Bundle(path).manifest.quality["gate"]["onnxruntime"]["limit"] == 0.98


@pytest.mark.slow
def test_core_ml_in_int8(options: ExportOptions, quality: QualityOptions, tmp_path: Path) -> None:
    made = replace(options, targets=("coreml",), output=tmp_path / "apple.cgsam")
    path = export_checked(made, replace(quality, gate_count=2), lambda _: None)
    assert path is not None
    bundle = Bundle(path)
    assert bundle.manifest.targets["coreml"]["image"].precision == "int8"
    assert iou(bundle, "coreml") > 0.8


def test_only_the_table_of_layers(
    tiny_checkpoint: Path, concepts_file: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--checkpoint", str(tiny_checkpoint), "--concepts", str(concepts_file), "--precision", "int8"]
    command += ["--calibration", str(photos), "--gate-count", "2", "--report-only"]
    assert export_main([*command, "--output", str(tmp_path / "none.cgsam")]) == 0
    assert not list(tmp_path.iterdir())
    printed = capsys.readouterr().err
    table = printed[printed.index("the most harmful first") :].splitlines()[1:]
    found = [float(line.split()[0]) for line in table]
    assert len(found) > 20
    assert found == sorted(found)
    assert any("image: blocks.0.attention.qkv" in line for line in table)


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("int9", "no precision 'int9'"),
        ("decoder=int8", "'decoder' is not quantised"),
        ("picture=int8", "no graph 'picture'"),
    ],
)
def test_precisions_that_there_are_not(options: ExportOptions, precision: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(options, precision=precision)


def test_a_word_for_each_graph(options: ExportOptions) -> None:
    mixed = replace(options, precision="image=int8,fp32", targets=("onnxruntime",))
    assert [mixed.precision_of("onnxruntime", g) for g in ("image", "concept", "decoder")] == ["int8", "fp32", "fp32"]


def test_int8_without_calibration_is_refused(options: ExportOptions) -> None:
    with pytest.raises(InputError, match="int8 needs calibration"):
        export_bundle(options)
