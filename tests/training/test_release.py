"""What is released keeps its promises: the reference bundle that ships, and how its numbers are made."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cgsam_edge import Segmenter, shipped
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import OutputError
from cgsam_edge.export.checkpoint import read_metadata
from cgsam_edge.pack import pack
from cgsam_edge.quality.evaluate import evaluate
from cgsam_edge.quality.labels import LabelledImage, read_classes, read_index_labels
from cgsam_edge.quality.scenes import CONCEPTS
from cgsam_edge.quality.scenes.__main__ import write_scenes
from training import __main__ as command
from training.ablation import ABLATIONS, silenced
from training.card import figures, presence_line, tables
from training.measure import compare_with_reference
from training.ship import BUNDLES, CHECKPOINTS, HELD_OUT_SERIES, ROOT, SAMPLE, place

LEAST_CLASS_MIOU = {"scenes": 0.85, "streets": 0.72, "tiny": 0.66}
"""From text alone, on held-out pictures: a little under what the models have today."""

LEAST_ZOOM_GAIN = {"scenes": (0.09, 0.1), "streets": (0.1, 0.09), "tiny": (0.15, 0.16)}
"""What three clicks and a box, zoomed in on, add to the mean IoU over pairs from text."""

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")


def scenes(folder: Path, count: int) -> list[LabelledImage]:
    write_scenes(folder, HELD_OUT_SERIES, range(count), 512, 512)
    return list(read_index_labels(folder / "images", folder / "labels", read_classes(folder / "classes.txt")))


def test_what_ships_is_small_and_whole() -> None:
    bundle = Bundle(shipped.BUNDLE)
    bundle.verify()
    assert bundle.size < 30e6
    assert shipped.CHECKPOINT.stat().st_size < 40e6
    assert bundle.vocabulary.names == CONCEPTS
    assert bundle.manifest.prompting.trained_for == ("text", "clicks")


def test_the_tiny_bundle_is_a_small_download(tmp_path: Path) -> None:
    bundle = Bundle(BUNDLES["tiny"].path)
    bundle.verify()
    assert {graph.precision for graph in bundle.manifest.targets["onnxruntime"].values()} >= {"int8"}
    pack(bundle, tmp_path / "tiny.zip")
    assert (tmp_path / "tiny.zip").stat().st_size < 4 * 2**20
    assert bundle.vocabulary.names == CONCEPTS


def test_a_bundle_is_replaced_by_a_whole_one_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (Path(shutil.copytree(shipped.BUNDLE, tmp_path / f"{name}.cgsam")) for name in ("old", "new"))
    (old / "of-old.txt").touch()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", full)
        with pytest.raises(OutputError, match="the disk is full"):
            place(new, old)
    assert (old / "of-old.txt").exists()
    place(new, old)
    assert not (old / "of-old.txt").exists()
    Bundle(old).verify()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.cgsam", "old.cgsam"]


@pytest.mark.parametrize("name", list(CHECKPOINTS))
def test_checkpoints_carry_presence_and_say_where_they_come_from(name: str) -> None:
    metadata = read_metadata(CHECKPOINTS[name])
    assert CHECKPOINTS[name].stat().st_size < 40e6
    carried = json.loads(metadata["presence"])
    assert set(carried) <= set(CONCEPTS)
    assert len(carried) >= {"scenes": 8, "streets": 8, "tiny": 8}[name]
    assert {"trained_for", "recipe", "seed", "steps", "commit", "machine"} <= set(metadata)
    recorded = json.loads(CHECKPOINTS[name].with_suffix(".json").read_text())
    assert set(recorded["ablation"]) == {"full", *ABLATIONS}


def test_a_copy_without_its_repository_is_told_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "__file__", str(tmp_path / "__main__.py"))
    monkeypatch.delenv("GIT_COMMIT", raising=False)
    assert command._commit() == "unknown"
    monkeypatch.setenv("GIT_COMMIT", "0123abc")
    assert command._commit() == "0123abc"


@pytest.mark.parametrize("name", list(CHECKPOINTS))
def test_the_card_shows_what_was_measured_and_it_is_good_enough(name: str) -> None:
    """A better model needs no change here; a worse one, or a card of another one, fails."""
    measured, card = figures(name), (ROOT / "docs" / f"{name}.md").read_text()
    assert all(table in card for table in tables(measured))
    assert presence_line(measured) in card
    assert measured["text"]["class_miou"] >= LEAST_CLASS_MIOU[name]
    text, clicks, box = (measured["zoom"][mode]["pair_miou"] for mode in ("text", "clicks_zoom", "box_zoom"))
    least_clicks, least_box = LEAST_ZOOM_GAIN[name]
    assert clicks - text >= least_clicks
    assert box - text >= least_box


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BUNDLES))
def test_a_released_bundle_reaches_its_recorded_metrics(name: str, tmp_path: Path) -> None:
    recorded = json.loads(CHECKPOINTS[name].with_suffix(".json").read_text())["sample"]
    with Segmenter(BUNDLES[name].path) as segmenter:
        found = evaluate(segmenter, scenes(tmp_path, SAMPLE), CONCEPTS)
    assert found.images == recorded["images"]
    assert found.class_miou == pytest.approx(recorded["class_miou"], abs=0.01)
    assert found.pair_miou == pytest.approx(recorded["pair_miou"], abs=0.01)
    assert found.presence_auroc == pytest.approx(recorded["presence_auroc"], abs=0.01)
    assert found.presence is not None
    assert found.presence.precision == pytest.approx(recorded["precision"], abs=0.01)


@pytest.mark.slow
def test_metrics_of_bundle_and_reference_agree(tmp_path: Path) -> None:
    images = scenes(tmp_path, 2)
    found = compare_with_reference(shipped.CHECKPOINT, {"fp16": shipped.BUNDLE}, images)
    assert found["fp16"]["class_miou"] == pytest.approx(found["pytorch"]["class_miou"], abs=0.005)
    assert found["fp16"]["mask_iou"] > 0.98


@pytest.mark.parametrize("ablation", list(ABLATIONS))
def test_an_ablation_changes_the_mask_and_goes_away(ablation: str, tmp_path: Path) -> None:
    (image,) = scenes(tmp_path, 1)
    with Segmenter(backend="onnxruntime", threads=1) as segmenter:
        before = segmenter.segment(image.path, "road")["road"].logits
        with silenced(segmenter, ablation):
            without = segmenter.segment(image.path, "road")["road"].logits
        after = segmenter.segment(image.path, "road")["road"].logits
    np.testing.assert_array_equal(before, after)
    assert np.abs(without - before).max() > 1e-3 * before.std()
