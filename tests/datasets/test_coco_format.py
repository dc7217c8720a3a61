"""COCO data sets, read by pycocotools."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from cgsam_edge.datasets import FORMATS, CocoFormat, LabelledPicture, labelled
from cgsam_edge.errors import InputError
from cgsam_edge.results import ConceptResult, Result
from tests.datasets.pictures import CONCEPTS, box, disc, draw_images, picture, pictures, ring


def opened(path: Path) -> COCO:
    return COCO(str(path))


def test_pycocotools_reads_masks_boxes_and_categories(tmp_path: Path) -> None:
    files = FORMATS["coco"].write(pictures(), CONCEPTS, tmp_path)
    assert [path.name for path in files] == ["instances_train.json", "instances_val.json"]
    train, val = (opened(path) for path in files)
    assert [(one["id"], one["name"]) for one in train.loadCats(train.getCatIds())] == [
        *((1, "car"), (2, "traffic light"), (3, "road")),
    ]
    assert train.cats == val.cats
    assert [one["file_name"] for one in train.loadImgs([1, 2])] == ["a.png", "c.png"]
    car, road = train.loadAnns(train.getAnnIds(imgIds=1))
    np.testing.assert_array_equal(train.annToMask(car), box())
    np.testing.assert_array_equal(train.annToMask(road), ring())
    assert (car["category_id"], car["bbox"], car["area"], car["score"]) == (1, [5, 10, 35, 20], 700, 0.75)
    assert car["segmentation"] == [[5, 10, 40, 10, 40, 30, 5, 30]]
    assert set(road["segmentation"]) == {"size", "counts"}, "a hole needs RLE"
    (light,) = val.loadAnns(val.getAnnIds())
    drawn, expected = val.annToMask(light).astype(bool), disc(60, 40, 20)
    assert np.logical_and(drawn, expected).sum() / np.logical_or(drawn, expected).sum() >= 0.98
    assert train.getAnnIds(imgIds=2) == []


def test_all_as_rle_is_exact(tmp_path: Path) -> None:
    (path,) = CocoFormat(polygons=False).write([picture("a.png", {"car": disc(60, 40, 20)})], CONCEPTS, tmp_path)
    assert path == tmp_path / "annotations" / "instances_default.json"
    read = opened(path)
    np.testing.assert_array_equal(read.annToMask(read.loadAnns([1])[0]), disc(60, 40, 20))


def test_an_empty_data_set_has_categories(tmp_path: Path) -> None:
    (path,) = FORMATS["coco"].write([], CONCEPTS, tmp_path)
    assert len(opened(path).cats) == 3


def test_pictures_are_copied_and_bytes_are_the_same_twice(tmp_path: Path) -> None:
    source = draw_images(tmp_path / "source")
    for name in ("one", "two"):
        FORMATS["coco"].write(iter(pictures()), CONCEPTS, tmp_path / name, images=source.joinpath)
    for path in sorted((tmp_path / "one").rglob("*.*")):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()
    assert (tmp_path / "one" / "images" / "street" / "b.png").read_bytes() == (source / "street/b.png").read_bytes()


def test_a_concept_of_another_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png: labelled 'car', but the data set's concepts are road\."):
        FORMATS["coco"].write([picture("a.png", {"car": box()})], ["road"], tmp_path)
    assert list((tmp_path / "annotations").iterdir()) == [], "nothing half-written stays"
    with pytest.raises(InputError, match="each named once"):
        FORMATS["coco"].write([], ["car", "car"], tmp_path)


def test_a_line_of_json_is_lossless() -> None:
    for one in pictures():
        line = one.to_json()
        assert "\n" not in line
        assert LabelledPicture.from_json(line) == one
        assert LabelledPicture.from_json(line).to_json() == line
    odd = dataclasses.replace(pictures()[0].objects[0], score=0.1 + 0.2, presence=1 / 3, concept="Füße / 車")
    again = LabelledPicture.from_json(LabelledPicture("a.png", 120, 80, (odd,)).to_json())
    assert again.objects == (odd,)


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"name": 1}', json.dumps({"name": "a", "objects": [{}]})])
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(InputError, match="is no labelled picture"):
        LabelledPicture.from_json(line)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a.png", "a/../../b.png", "a\\b.png", "C:/a.png"])
def test_names_outside_the_data_set_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no name for a picture"):
        LabelledPicture(name, 1, 1)


def test_a_mask_of_another_size_is_refused() -> None:
    (one,) = picture("a.png", {"car": box()}).objects
    with pytest.raises(InputError, match=r"a\.png: 60 × 40 pixels, but the mask of 'car' has the size \[80, 120\]"):
        LabelledPicture("a.png", 60, 40, (one,))


def test_a_picture_that_was_scaled_down_for_show_keeps_its_size() -> None:
    """As a result of tiles has it, whose picture may be too big to hold."""
    (one,) = picture("a.png", {"car": box()}).objects

    class Shown(Result):
        image_size = (120, 80)

    mask = np.where(box(), 1, -1).astype(np.float32)
    rest = (np.zeros(7), np.zeros((2, 2)), np.zeros((0, 2)), np.zeros(0), None)
    found = ConceptResult("car", mask, 0.75, 0.5, True, *rest, (120, 80))  # type: ignore[arg-type]
    made = labelled("a.png", Shown(Image.new("RGB", (12, 8)), {"car": found}))
    assert (made.width, made.height) == (120, 80)
    assert made.objects == (one,)
