"""Metrics on masks made by hand, label formats, and the command."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from cgsam_edge import Segmenter
from cgsam_edge.agreement import Overlap
from cgsam_edge.errors import InputError
from cgsam_edge.quality.evaluate import evaluate
from cgsam_edge.quality.label_prompts import LabelPrompting, box_around, correction
from cgsam_edge.quality.labels import Classes, LabelledImage, read_classes, read_coco, read_index_labels
from cgsam_edge.quality.metrics import PresenceRates, auroc, summarise
from cgsam_edge.quality.pairs import LabelPair, pair_with_label
from cgsam_edge.results import ConceptResult
from cgsam_edge.rle import decode_rle, encode_rle
from tests.conftest import executable

A, B = Path("a.png"), Path("b.png")


def block(top: int, bottom: int) -> np.ndarray:
    mask = np.zeros((20, 20), bool)
    mask[top:bottom] = True
    return mask


def found(mask: np.ndarray, presence: float) -> ConceptResult:
    """A result whose mask is given, and that counts as present from 0.75 on."""
    none = np.zeros((0, 2), np.float32)
    logits = np.where(mask, 1, -1).astype(np.float32)
    return ConceptResult(
        "x", logits, 0.5, presence, presence >= 0.75, np.zeros(7, np.float32), logits, none, none[:, 0], None, (20, 20)
    )


def test_by_hand() -> None:
    pairs = [
        pair_with_label(
            A, "car", block(5, 15), None, found(block(0, 10), 0.9), calibrated=True
        ),  # 100 in both, 300 in either
        pair_with_label(B, "car", block(0, 10), None, found(block(0, 10), 0.7), calibrated=True),  # 200, 200
        pair_with_label(A, "tree", None, None, found(block(0, 3), 0.8), calibrated=True),  # absent
        pair_with_label(
            B, "tree", block(0, 4), None, found(block(0, 3), 0.1), calibrated=True
        ),  # 80: neither held nor absent
    ]
    got = summarise("text", 2, ["car", "tree", "dog"], pairs)
    assert [(r.concept, r.images, r.iou) for r in got.rows] == [("car", 2, 0.6), ("tree", 0, None), ("dog", 0, None)]
    assert got.class_miou == 0.6
    assert got.pair_miou == pytest.approx((1 / 3 + 1) / 2)
    assert got.presence_auroc == 0.5
    assert got.presence == PresenceRates(0.5, 0.5)  # one of two held is called present, and the absent one too
    assert [r.presence for r in got.rows] == [PresenceRates(1.0, 0.5), PresenceRates(0.0, None), None]


def test_ignored_pixels_count_for_nothing() -> None:
    pair = pair_with_label(A, "car", block(5, 15), ~block(0, 5), found(block(0, 10), 0.5), calibrated=False)
    assert pair.present is None
    assert (pair.labelled, pair.overlap) == (200, Overlap(100, 200))


def test_nothing_is_silently_zero_or_nan() -> None:
    got = summarise("text", 1, ["car"], [LabelPair(A, "car", 0, Overlap(), 0.3, 0.3)])
    assert (got.class_miou, got.pair_miou, got.presence_auroc) == (None, None, None)


def test_auroc() -> None:
    assert auroc([3, 4], [1, 2]) == 1
    assert auroc([1, 2], [3, 4]) == 0
    assert auroc([1], [1]) == 0.5
    assert auroc([2, 4], [1, 3]) == 0.75


def test_a_box_touches_the_mask_on_all_sides() -> None:
    mask = np.zeros((9, 12), bool)
    mask[2:5, 3], mask[4, 7] = True, True
    np.testing.assert_array_equal(box_around(mask), [3, 2, 8, 5])
    np.testing.assert_array_equal(box_around(np.ones((9, 12), bool)), [0, 0, 12, 9])


def test_a_correction_is_in_the_middle_of_the_thickest_error() -> None:
    truth, mask = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    truth[5:16, 0:30] = True
    mask[5:16, 0:24] = True  # lacks 6 columns
    mask[20:39, 41:60] = True  # and has 19 x 19 pixels too many
    point, within = correction(mask, truth) or (None, None)
    np.testing.assert_array_equal(point, [50.5, 29.5])
    assert within is False
    valid = np.ones_like(truth)
    valid[18:] = False  # there nothing is known
    point, within = correction(mask, truth, valid) or (None, None)
    assert point is not None
    assert 25 < point[0] < 29
    assert within is True
    again, _ = correction(mask, truth, valid, point[None]) or (None, None)
    assert again is not None
    assert (again != point).any()
    assert correction(truth, truth) is None


@pytest.mark.parametrize("seed", range(4))
def test_rle_round_trip(seed: int) -> None:
    mask = np.random.default_rng(seed).random((17, 23)) > 0.5
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)
    counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    np.testing.assert_array_equal(decode_rle({"size": [17, 23], "counts": counts["counts"].decode()}), mask)
    np.testing.assert_array_equal(decode_rle({"size": [2, 2], "counts": [1, 2, 1]}), [[False, True], [True, False]])
    with pytest.raises(InputError, match="holds 3 pixels; expected 2x2"):
        decode_rle({"size": [2, 2], "counts": [1, 2]})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two pictures with index labels: 0 car, 1 road, 255 ignored."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{name}.png")
        label = np.full((40, 60), 1, np.uint8)
        label[:20], label[-3:] = 0, 255
        Image.fromarray(label).save(tmp_path / "labels" / f"{name}.png")
    (tmp_path / "classes.txt").write_text("car\nroad\n\nignore: 255\n")
    return tmp_path


def read(data: Path) -> list[LabelledImage]:
    return list(read_index_labels(data / "images", data / "labels", read_classes(data / "classes.txt")))


def test_index_labels(data: Path) -> None:
    assert read_classes(data / "classes.txt") == Classes(("car", "road"), frozenset({255}))
    assert Classes(("car", "tree"), frozenset({1, 255})).by_index == {0: "car", 2: "tree"}
    first, _ = read(data)
    assert first.path.name == "a.png"
    assert first.valid is not None
    assert (first.masks["car"].sum(), first.masks["road"].sum(), first.valid.sum()) == (1200, 1020, 2220)


def test_coco_labels(data: Path) -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:20, 10:30] = True
    polygon = [[30, 30, 50, 30, 50, 38, 30, 38]]
    document = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "segmentation": encode_rle(mask)},
            {"image_id": 7, "category_id": 3, "segmentation": polygon},
        ],
    }
    (data / "coco.json").write_text(json.dumps(document))
    first, second = read_coco(data / "images", data / "coco.json")
    assert first.masks["car"].sum() == 200 + 20 * 8
    assert second.masks == {}


@pytest.mark.filterwarnings("ignore:this model was trained")
def test_evaluating_a_bundle(tiny_segmenter: Segmenter, data: Path) -> None:
    got = evaluate(tiny_segmenter, read(data), ["car", "road", "tree"])
    first = read(data)[0]
    mask = tiny_segmenter.segment(first.path, "car")["car"].mask
    assert first.valid is not None
    expected = (mask & first.masks["car"]).sum() / ((mask | first.masks["car"]) & first.valid).sum()
    assert got.pairs[0].iou == pytest.approx(expected)
    assert [row.images for row in got.rows] == [2, 2, 0]
    clicked = evaluate(tiny_segmenter, read(data), ["car", "road"], prompting=LabelPrompting("clicks", 2))
    assert len(clicked.pairs) == 4
    assert clicked.presence_auroc is None
    encoded, car = tiny_segmenter.encode(first.path), first.masks["car"]
    one = correction(mask, car, first.valid)
    assert one is not None
    two = correction(encoded.predict("car", [one[0]], [one[1]]).mask, car, first.valid, one[0][None])
    assert two is not None
    final = encoded.predict("car", [one[0], two[0]], [one[1], two[1]]).mask
    wanted = (final & car).sum() / ((final | car) & first.valid).sum()
    assert clicked.pairs[0].iou == pytest.approx(wanted)
    boxed = evaluate(tiny_segmenter, read(data), ["car", "road"], prompting=LabelPrompting("box"))
    around = tiny_segmenter.encode(first.path).predict("car", box=box_around(first.masks["car"])).mask
    wanted = (around & first.masks["car"]).sum() / ((around | first.masks["car"]) & first.valid).sum()
    assert [pair.concept for pair in boxed.pairs] == ["car", "road"] * 2
    assert boxed.pairs[0].iou == pytest.approx(wanted)
    near = evaluate(tiny_segmenter, read(data), ["car", "road"], prompting=LabelPrompting("box", zoom=True))
    closer = encoded.predict("car", box=box_around(car), zoom=True).mask
    wanted = (closer & car).sum() / ((closer | car) & first.valid).sum()
    assert near.zoom
    assert near.pairs[0].iou == pytest.approx(wanted)
    with pytest.raises(InputError, match="17 clicks, but the bundle has 16 slots"):
        evaluate(tiny_segmenter, read(data), ["car"], prompting=LabelPrompting("clicks", 17))
    with pytest.raises(InputError, match="zoom is for clicks and boxes"):
        evaluate(tiny_segmenter, read(data), ["car"], prompting=LabelPrompting(zoom=True))
    with pytest.raises(InputError, match="does not know: zebra, okapi"):
        evaluate(tiny_segmenter, read(data), ["zebra", "car", "okapi"])
    with pytest.raises(InputError, match="no mode 'telepathy'"):
        evaluate(tiny_segmenter, read(data), ["car"], prompting=LabelPrompting("telepathy"))
    with pytest.raises(InputError, match="no labelled image"):
        evaluate(tiny_segmenter, [], ["car"])


def test_command(tiny_bundle: Path, data: Path) -> None:
    command = [executable("cgsam"), "eval", str(tiny_bundle), "--images", "images", "--labels", "labels"]
    (data / "classes.txt").write_text("car\nroad\ntree\nignore: 255\n")
    arguments = ["--classes", "classes.txt", "--output", "out"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, cwd=data)
    assert done.returncode == 0, done.stderr
    assert "no instances" in done.stdout
    assert "2 images, text: class mIoU 0." in done.stdout
    document = json.loads((data / "out" / "eval.json").read_text())
    assert document["concepts"][2] == {"name": "tree", "images": 0, "iou": None, "presence": None}
    assert len(document["pairs"]) == 6
    assert Image.open(data / "out" / "contact-sheet.png").width > 700
    without = subprocess.run(command, capture_output=True, text=True, check=False, cwd=data)
    assert without.returncode == 3
    assert "need a class file (--classes)" in without.stderr
