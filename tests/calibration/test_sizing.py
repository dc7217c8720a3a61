"""What a smaller image size costs: measured, shown, and decided by where that is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import export_main
from cgsam_edge.errors import InputError
from cgsam_edge.export.concepts import build_vocabulary, read_concepts
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.export.progress import StepProgress
from cgsam_edge.export.quality_options import QualityOptions, thresholds
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.sizing import Sizing
from cgsam_edge.quality.defaults import LEAST_UNIT, MAX_DISAGREEMENT
from cgsam_edge.quality.gate import unlabelled
from cgsam_edge.quality.labels import LabelledImage, read_classes, read_index_labels
from cgsam_edge.quality.photos import from_folder
from cgsam_edge.quality.resolution import SizeSearch, SizeTrial
from cgsam_edge.quality.scenes.__main__ import write_scenes
from tests import tiny
from tests.calibration.test_gate import steps
from tests.quality.pages import Page

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")

OWN = 384

Search = Callable[..., tuple[ReferenceModel, SizeSearch, list[str]]]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 6, range(2), 96, 128)
    return folder


@pytest.fixture(scope="module")
def own() -> ReferenceModel:
    return tiny.model(tiny.config(side=OWN))


@pytest.fixture(scope="module")
def options(own: ReferenceModel, concepts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportOptions:
    folder = tmp_path_factory.mktemp("sizes")
    return ExportOptions(tiny.save(own, folder / "tiny.pth"), concepts_file, folder / "tiny.cgsam")


@pytest.fixture
def search(own: ReferenceModel, options: ExportOptions, scenes: Path, tmp_path: Path) -> Search:
    vocabulary = build_vocabulary(own, read_concepts(options.concepts))
    plain = unlabelled(from_folder(scenes / "images", least=1))

    def run(
        min_iou: float | None = None, pictures: tuple[LabelledImage, ...] = plain, **change: object
    ) -> tuple[ReferenceModel, SizeSearch, list[str]]:
        lines: list[str] = []
        sizing = Sizing(replace(options, **change), min_iou, pictures, vocabulary, tmp_path / f"{min_iou}")  # type: ignore[arg-type]
        model, found = sizing.choose(own, StepProgress(lines.append))
        return model, found, lines

    return run


def test_a_model_agrees_with_itself(search: Search) -> None:
    """Its own size asked for by name: every point falls where it fell, and no pixel differs."""
    model, found, _ = search(image_size=OWN)
    (trial,) = found.tried
    assert trial.mean_iou == 1.0
    assert trial.flips == 0
    assert trial.macs == found.own_macs
    assert model.config.sam.image_size == OWN


@pytest.mark.slow
def test_the_smallest_that_passes_is_taken(search: Search) -> None:
    _, strict, lines = search(1.0, image_size="auto")
    assert [trial.image_size for trial in strict.tried] == [256, 320]
    assert all(trial.mean_iou < 1 for trial in strict.tried)
    assert strict.chosen == OWN
    assert "image size: the model's own 384 pixels: no smaller size has a mean mask IoU of 1" in lines
    assert strict.tried[0].macs < strict.tried[1].macs < strict.own_macs
    for limit in {trial.mean_iou for trial in strict.tried}:
        model, found, lines = search(limit, image_size="auto")
        expected = next(trial.image_size for trial in strict.tried if trial.mean_iou >= limit)
        assert found.chosen == model.config.sam.image_size == found.tried[-1].image_size == expected
        assert f"image size: {expected} pixels: the smallest size with a mean mask IoU of {limit:g} or more" in lines


def test_labels_tell_class_miou_at_both_sizes(search: Search, scenes: Path) -> None:
    labelled = tuple(read_index_labels(scenes / "images", scenes / "labels", read_classes(scenes / "classes.txt")))
    _, found, lines = search(pictures=labelled, image_size=256)
    assert found.own_miou is not None
    assert found.tried[0].class_miou is not None
    assert 0 < found.own_miou < 1
    assert f"{found.tried[0].class_miou:.4f}" in "\n".join(lines)


@pytest.mark.slow
def test_export_says_what_the_size_costs(
    options: ExportOptions, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a limit for the size, which is no limit for the gate: that judges the conversion of the resized model."""
    command = ["--checkpoint", str(options.checkpoint), "--concepts", str(options.concepts), "--gate-count", "1"]
    command += ["--gate-images", str(scenes / "images"), "--output", str(tmp_path / "auto.cgsam")]
    assert export_main([*command, "--image-size", "auto", "--min-iou", "0.01"]) == 0
    lines = capsys.readouterr().err.splitlines()
    numbers = steps(lines)
    assert numbers[-1] == (len(numbers), len(numbers))
    assert "image size: 256 pixels: the smallest size with a mean mask IoU of 0.01 or more" in lines
    manifest = Bundle(tmp_path / "auto.cgsam").manifest
    size, gate = manifest.quality["size"], manifest.quality["gate"]["onnxruntime"]
    assert manifest.geometry.image_size == size["chosen"] == 256
    allowed = 1 - MAX_DISAGREEMENT * max(LEAST_UNIT, 1 - gate["drawn_iou"])
    assert size["limit"] == 0.01
    assert gate["limit"] == pytest.approx(allowed)
    assert size["tried"][0]["mean_iou"] < gate["limit"] <= gate["mean_iou"]
    document = json.loads((tmp_path / "auto.cgsam" / "report.json").read_text())
    assert (document["size"]["own_size"], document["reference"]) == (OWN, "PyTorch, float32, at 256 pixels")
    page = Page(tmp_path / "auto.cgsam" / "report.html")
    assert "mask IoU against time by image size" in page.text


def test_auto_needs_the_gate_s_pictures(options: ExportOptions, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--image-size auto compares masks.*--gate-count must not be 0"):
        export_bundle(replace(options, image_size="auto"), QualityOptions(gate_count=0))


def test_min_iou_is_of_the_size_where_one_is_looked_for(options: ExportOptions) -> None:
    """Else it is of the targets, which are judged by labels or by other points without one."""
    for size, min_iou, expected in (
        (None, None, (None, None)), (None, 0.7, (None, 0.7)), (256, 0.7, (None, 0.7)), ("auto", None, (0.9, None)),
        ("auto", 0.7, (0.7, None)), ("auto", 0.0, (0.0, None)), (None, 0.0, (None, 0.0)),
    ):  # fmt: skip
        asked = replace(options, image_size=size)  # type: ignore[arg-type]
        found = thresholds(asked, QualityOptions(min_iou=min_iou))
        assert (found.size_min_iou, found.targets["onnxruntime"].min_iou) == expected
    (limits,) = thresholds(options, QualityOptions(max_drop=0.2, max_disagreement=0.3)).targets.values()
    assert (limits.max_drop, limits.max_disagreement) == (0.2, 0.3)


def test_table_and_conclusion() -> None:
    trial = SizeTrial(256, 128, 1_600_000_000, 0.05, 57, 0.8312, ("pole", 0.5), 2, 0.5)
    found = SizeSearch(512, 256, 6_400_000_000, 0.2, 0.6, (trial,), 512, 0.9)
    head, own, tried = found.lines()
    assert head.split()[0] == "pixels"
    assert "512, its own  256" in own
    for words in ("0.8312", "pole 0.5000", "0.5000", "1.6 G, 25 %", "0.05 s, 25 %"):
        assert words in tried
    assert found.conclusion == "the model's own 512 pixels: no smaller size has a mean mask IoU of 0.9"
    assert "as requested" in replace(found, min_iou=None, chosen=256).conclusion
    assert "no smaller size to try" in replace(found, tried=()).conclusion
