"""Labels in use: what is left out is named and counts for nothing, and classes find their concepts."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cgsam_edge import ImageError, InputError, Segmenter
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import labels as arguments
from cgsam_edge.cli import main
from cgsam_edge.quality.calibrate_bundle import calibrate_bundle
from cgsam_edge.quality.defaults import EVALUATION_MODES
from cgsam_edge.quality.evaluate import evaluate, evaluate_labels
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.label_prompts import LabelPrompting
from cgsam_edge.quality.labels import LabelledImage, Labels, Remarks, by_concept, match_classes, open_labels
from cgsam_edge.quality.labels.segmentation import segmentation_parts
from cgsam_edge.quality.observation import observe
from cgsam_edge.quality.photos import readable
from cgsam_edge.quality.scenes import CONCEPTS
from cgsam_edge.quality.scenes.__main__ import write_scenes
from cgsam_edge.quality.scores import table, to_json
from cgsam_edge.rle import encode_rle
from cgsam_edge.shipped import BUNDLE

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")


@pytest.fixture(scope="module")
def segmenter() -> Iterator[Segmenter]:
    with Segmenter(backend="onnxruntime", threads=1) as opened:
        yield opened


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Three rendered scenes; what is neither road nor car is labelled as a building, so that few concepts are asked."""
    write_scenes(tmp_path, 6, range(3), 96, 96)
    road, car = CONCEPTS.index("road"), CONCEPTS.index("car")
    for path in (tmp_path / "labels").iterdir():
        indices = np.asarray(Image.open(path))
        Image.fromarray(np.select([indices == road, indices == car], [0, 1], 2).astype(np.uint8)).save(path)
    (tmp_path / "classes.txt").write_text("road\ncar\nbuilding\n")
    for folder in ("images", "labels"):
        for number, path in enumerate(sorted((tmp_path / folder).iterdir())):
            path.rename(path.with_name(f"{number:04}.png"))
    return tmp_path


def opened(folder: Path) -> Labels:
    return open_labels(folder / "images", folder / "labels", folder / "classes.txt")


def as_coco(folder: Path, form: str) -> Path:
    """Write the index labels as a COCO file, with RLE or polygons."""
    document: dict[str, list[object]] = {"images": [], "categories": [], "annotations": []}
    source = opened(folder)
    ids = {name: number for number, name in enumerate(source.names, start=1)}
    document["categories"] = [{"id": number, "name": name} for name, number in ids.items()]
    for number, image in enumerate(source.read()):
        document["images"].append({"id": number, "file_name": image.path.name, "width": 96, "height": 96})
        for name, mask in image.masks.items():
            rle: object = encode_rle(mask)
            entry = {
                "image_id": number,
                "category_id": ids[name],
                "segmentation": rle if form == "rle" else edges(mask),
            }
            document["annotations"].append(entry)
    path = folder / f"{form}.json"
    path.write_text(json.dumps(document))
    return path


def edges(mask: np.ndarray) -> list[list[float]]:
    """The outlines of a mask without its holes, along the edges of its pixels."""
    large = np.kron(mask.astype(np.uint8), np.ones((8, 8), np.uint8))
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [((contour.reshape(-1) + 0.5) / 8).tolist() for contour in contours if len(contour) > 2]


def test_the_same_labels_score_the_same_in_every_form(segmenter: Segmenter, scenes: Path) -> None:
    pngs = evaluate_labels(segmenter, opened(scenes))
    rle = evaluate_labels(segmenter, open_labels(scenes / "images", as_coco(scenes, "rle")))
    assert {r.concept: r.iou for r in rle.rows} == {r.concept: r.iou for r in pngs.rows}
    polygons = evaluate_labels(segmenter, open_labels(scenes / "images", as_coco(scenes, "polygons")))
    road = {r.concept: r.iou for r in polygons.rows}["road"]
    assert road == pytest.approx({r.concept: r.iou for r in pngs.rows}["road"], abs=0.03)


@pytest.mark.slow
def test_one_bad_file_of_each_kind(
    segmenter: Segmenter, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = evaluate_labels(segmenter, opened(scenes))
    first = scenes / "images" / "0000.png"
    assert first.is_file()
    for name in ("unlabelled", "small", "broken", "._hidden"):
        (scenes / "images" / f"{name}.png").write_bytes(first.read_bytes())
        (scenes / "labels" / f"{name}.png").write_bytes((scenes / "labels" / "0000.png").read_bytes())
    (scenes / "labels" / "unlabelled.png").unlink()
    Image.new("L", (9, 9)).save(scenes / "labels" / "small.png")
    content = first.read_bytes()
    (scenes / "images" / "broken.png").write_bytes(content[: len(content) // 2])  # its header can be read
    expected = ["unlabelled.png: no label", "small.png: 9x9 pixels", "broken.png: corrupt"]

    done = evaluate_labels(segmenter, opened(scenes))
    assert replace(done, left_out=()) == good
    assert len(done.left_out) == 3
    assert all(any(words in line for line in done.left_out) for words in expected), done.left_out

    command = ["--images", str(scenes / "images"), "--labels", str(scenes / "labels")]
    command += ["--classes", str(scenes / "classes.txt"), "--backend", "onnxruntime"]
    assert main(["eval", str(BUNDLE), *command, "--output", str(tmp_path / "out")]) == 3
    printed = capsys.readouterr()
    assert "left out, and not included in these numbers: 3 images or entries" in printed.out
    assert all(words in printed.err for words in expected)
    document = json.loads((tmp_path / "out" / "eval.json").read_text())
    assert document["images"] == 3
    assert document["left_out"] == list(done.left_out)

    with pytest.raises(ImageError, match=r"broken\.png: corrupt"):
        evaluate(segmenter, [LabelledImage(scenes / "images" / "broken.png")], ["car"])
    remarks = Remarks()
    seen = observe(segmenter, opened(scenes).read(remarks), ["car"], remarks=remarks)
    assert {one.image for one in seen} <= {0, 1, 2}
    assert len(remarks.left_out) == 3


def test_when_nothing_can_be_used(segmenter: Segmenter, scenes: Path) -> None:
    for path in (scenes / "images").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"no labelled image can be used. The first: .*0000\.png"):
        evaluate_labels(segmenter, opened(scenes))
    with pytest.raises(InputError, match=r"Left out: 3 images or entries. The first: .*0000\.png"):
        calibrate_bundle(segmenter, opened(scenes))


def test_labels_of_another_shape(segmenter: Segmenter, scenes: Path) -> None:
    image = LabelledImage(scenes / "images" / "0000.png", {"car": np.zeros((5, 7), bool)})
    for mode in EVALUATION_MODES:
        with pytest.raises(InputError, match=r"0000\.png: a label of 7x5 pixels; the image has 96x96"):
            evaluate(segmenter, [image], ["car"], prompting=LabelPrompting(mode))
    with pytest.raises(InputError, match="a label of 7x5 pixels"):
        observe(segmenter, [image], ["car"])


def test_classes_that_mean_one_concept_are_joined(segmenter: Segmenter, scenes: Path) -> None:
    """One half of each car is called a vehicle."""
    whole = evaluate_labels(segmenter, opened(scenes))
    path = as_coco(scenes, "rle")
    document = json.loads(path.read_text())
    car = next(c["id"] for c in document["categories"] if c["name"] == "car")
    document["categories"].append({"id": 99, "name": "Vehicle"})
    halves = []
    for entry in document["annotations"]:
        if entry["category_id"] == car:
            mask = segmentation_parts(entry["segmentation"])[0].draw(96, 96)
            left, right = mask.copy(), mask.copy()
            left[:, 48:], right[:, :48] = False, False
            entry["segmentation"] = encode_rle(left)
            halves.append({**entry, "category_id": 99, "segmentation": encode_rle(right)})
    assert halves
    document["annotations"] += halves
    path.write_text(json.dumps(document))
    done = evaluate_labels(segmenter, open_labels(scenes / "images", path))
    assert {r.concept: r.iou for r in done.rows} == {r.concept: r.iou for r in whole.rows}
    assert done.notes == ("the classes car, Vehicle are one concept of the bundle and were joined as car.",)
    seen = observe(segmenter, open_labels(scenes / "images", path).read(), ["car", "Vehicle"])
    assert len({one.image for one in seen}) == len(seen)


@pytest.mark.slow
def test_unknown_classes(segmenter: Segmenter, scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = evaluate_labels(segmenter, opened(scenes))
    path = as_coco(scenes, "rle")
    document = json.loads(path.read_text())
    document["categories"] += [{"id": 98, "name": "zebra"}, {"id": 99, "name": "okapi"}]
    document["annotations"].append({"image_id": 0, "category_id": 98, "segmentation": "not even one"})
    path.write_text(json.dumps(document))
    command = ["eval", str(BUNDLE), "--images", str(scenes / "images"), "--labels", str(path)]
    assert main([*command, "--backend", "onnxruntime"]) == 3
    assert "does not know: zebra, okapi. Leave them out with --skip-unknown" in capsys.readouterr().err
    assert main([*command, "--backend", "onnxruntime", "--skip-unknown"]) == 0
    printed = capsys.readouterr()
    assert "classes that the bundle does not know, left out: zebra, okapi" in printed.out
    done = evaluate_labels(segmenter, open_labels(scenes / "images", path), skip_unknown=True)
    assert done.rows == known.rows
    assert to_json(done, scenes)["skipped_classes"] == ["zebra", "okapi"]
    with pytest.raises(InputError, match=r"knows none of the labels' classes: zebra. It knows sky, building"):
        match_classes(["zebra"], segmenter.bundle.vocabulary, skip_unknown=True)


def test_masks_by_the_names_of_concepts(segmenter: Segmenter) -> None:
    left, right = np.eye(101, dtype=bool), np.eye(101, dtype=bool)[::-1]
    image = LabelledImage(Path("a.png"), {"Vehicle": left, "CAR": right, "zebra": left, "street": left})
    found = by_concept(image, segmenter.bundle.vocabulary)
    assert set(found.masks) == {"car", "road"}
    assert found.masks["car"].sum() == 201
    assert by_concept(LabelledImage(Path("a.png"), {"zebra": left}), segmenter.bundle.vocabulary).masks == {}
    of_labels = replace(image, classes=frozenset([*image.masks, "Sky"]))
    found = by_concept(of_labels, segmenter.bundle.vocabulary)
    assert found.classes == {"car", "road", "sky"}
    assert [found.shows_absent(name) for name in ("car", "sky", "tree")] == [False, True, False]


def test_pictures_say_which_classes_their_labels_can_show(scenes: Path) -> None:
    labels = opened(scenes)
    assert {image.classes for image in labels.read()} == {frozenset(["road", "car", "building"])}
    assert {image.classes for image in labels.read(names=frozenset(["car", "sky"]))} == {frozenset(["car"])}


def test_the_gate_finds_labels_by_any_name_of_a_concept(segmenter: Segmenter, scenes: Path) -> None:
    image = next(opened(scenes).read())
    renamed = {"Vehicle": image.masks["car"], "STREET": image.masks["road"], "zebra": image.masks["building"]}
    lines: list[str] = []
    gate = Gate(segmenter, [replace(image, masks=renamed)], lines.append)
    assert lines[0].endswith("are left out: zebra")
    labelled = {pair.concept: pair.labelled_before for pair in gate.measure(segmenter) if pair.labelled_before}
    assert set(labelled) == {"car", "road"}
    assert labelled["car"].union >= image.masks["car"].sum()


def test_images_that_cannot_be_decoded(scenes: Path) -> None:
    path = scenes / "images" / "0001.png"
    path.write_bytes(path.read_bytes()[:2000])
    remarks = Remarks()
    found = [image.path.name for image in readable(opened(scenes).read(remarks), remarks)]
    assert found == ["0000.png", "0002.png"]
    assert "0001.png: corrupt" in remarks.left_out[0]


@pytest.mark.parametrize("drawn_on", [None, "stored"])
def test_a_photo_on_its_side_scores_as_one_that_stands(
    segmenter: Segmenter, scenes: Path, drawn_on: str | None
) -> None:
    upright = Image.open(scenes / "images" / "0000.png").crop((0, 0, 96, 64))
    drawn = Image.open(scenes / "labels" / "0000.png").crop((0, 0, 96, 64))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise to be seen upright
    for name, image, label, tag in (
        ("standing", upright, drawn, None),
        ("lying", upright.transpose(Image.Transpose.ROTATE_90), drawn, exif),
    ):
        for folder in ("images", "labels"):
            (scenes / name / folder).mkdir(parents=True)
        image.save(scenes / name / "images" / "a.png", exif=tag)
        turned = label.transpose(Image.Transpose.ROTATE_90) if tag is not None and drawn_on == "stored" else label
        turned.save(scenes / name / "labels" / "a.png")
    one, other = (
        evaluate_labels(
            segmenter,
            open_labels(scenes / name / "images", scenes / name / "labels", scenes / "classes.txt", drawn_on),
        )
        for name in ("standing", "lying")
    )
    assert one.class_miou is not None
    assert one.rows == other.rows


@pytest.mark.slow
def test_names_that_are_not_utf8(segmenter: Segmenter, scenes: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        for folder in ("images", "labels"):
            (scenes / folder / "0000.png").rename(scenes / folder / name)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 alone")
    Image.new("L", (9, 9)).save(scenes / "labels" / "0001.png")
    (scenes / "images" / "0002.png").rename(scenes / "images" / os.fsdecode(b"\xff.png"))
    command = ["eval", str(BUNDLE), "--images", str(scenes / "images"), "--labels", str(scenes / "labels")]
    command += ["--classes", str(scenes / "classes.txt"), "--backend", "onnxruntime"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 3
    document = json.loads((tmp_path / "out" / "eval.json").read_text(encoding="utf-8"))
    assert {pair["image"] for pair in document["pairs"]} == {"caf\\xe9.png"}
    assert any("\\xff.png: no label" in line for line in document["left_out"])
    assert evaluate_labels(segmenter, opened(scenes)).images == 1


def test_a_photo_with_malformed_exif_takes_part(segmenter: Segmenter, scenes: Path) -> None:
    resolution_as_text = struct.pack(">HHI4s", 0x011A, 2, 4, b"72")
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 1) + resolution_as_text + bytes(4)
    path = scenes / "images" / "0000.png"
    Image.open(path).save(path.with_suffix(".jpg"), exif=exif)
    path.unlink()
    done = evaluate_labels(segmenter, opened(scenes).take(1))
    assert (done.images, done.left_out) == (1, ())


@pytest.mark.slow
def test_calibrating_with_bad_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{i:02}.png")
        label = np.full((40, 60), 1, np.uint8)
        label[: 20 * (i % 2)] = 2 * (i % 4 == 3)  # a car, or what is labelled as a vehicle
        Image.fromarray(label).save(tmp_path / "labels" / f"{i:02}.png")
    (tmp_path / "classes.txt").write_text("car\nroad\nvehicle\nzebra\n")
    for name, content in (("97", b"no picture"), ("98", b"no picture")):
        (tmp_path / "images" / f"{name}.png").write_bytes(content)
        (tmp_path / "labels" / f"{name}.png").write_bytes(content)
    (tmp_path / "images" / "98.png").write_bytes((tmp_path / "images" / "00.png").read_bytes())
    command = ["calibrate", str(BUNDLE), "--images", str(tmp_path / "images")]
    command += ["--labels", str(tmp_path / "labels"), "--classes", str(tmp_path / "classes.txt")]
    command += ["--backend", "onnxruntime", "--output", str(tmp_path / "new.cgsam")]
    assert main(command) == 3
    assert "does not know: zebra" in capsys.readouterr().err
    assert not (tmp_path / "new.cgsam").exists()
    assert main([*command, "--skip-unknown"]) == 3
    printed = capsys.readouterr()
    assert "car            6       6" in printed.out
    assert "learnt from 12 images" in printed.out
    assert "left out: " + str(tmp_path / "images" / "97.png") in printed.err
    assert "left out: " + str(tmp_path / "labels" / "98.png") in printed.err
    assert "note: the classes car, vehicle are one concept" in printed.err
    assert "note: classes left out because the bundle does not know them: zebra." in printed.err
    written = Bundle(tmp_path / "new.cgsam").vocabulary
    assert written.calibrated("car")


def test_many_lines_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments.print_remarks([], [f"{i}.png: bad" for i in range(25)]) == 3
    assert capsys.readouterr().err.splitlines()[-1] == "cgsam: left out: and 5 more"
    assert arguments.print_remarks(["a note"], []) == 0


def test_the_table_says_what_is_missing(segmenter: Segmenter, scenes: Path) -> None:
    done = evaluate_labels(segmenter, opened(scenes).take(1))
    assert "left out" not in table(done)
    assert "left out, and not included in these numbers: 1 image or entry" in table(replace(done, left_out=("a",)))
