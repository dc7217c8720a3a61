"""COCO files as annotation tools write them: each form is read rightly, or refused by name."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from cgsam_edge.errors import InputError
from cgsam_edge.quality.labels import coco_names, read_coco
from cgsam_edge.rle import encode_rle
from tests.quality.coco_files import OTHER, SQUARE, Dataset


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return Dataset(tmp_path)


def refused(data: Dataset, message: str) -> None:
    """The whole file cannot be used."""
    with pytest.raises(InputError, match=message) as caught:
        data.read()
    assert str(data.path) in str(caught.value)


def left_out(data: Dataset, message: str) -> None:
    """One image takes no part and is named, the other is read."""
    images, remarks = data.read()
    assert list(images) == ["b.png"]
    (line,) = remarks.left_out
    assert re.search(message, line), line
    assert str(data.path) in line


def test_instances_of_a_category_are_joined(data: Dataset) -> None:
    data.document["annotations"].append({"id": 2, "image_id": 7, "category_id": 3, "segmentation": OTHER})
    assert data.pixels() == 200
    images, _ = data.read()
    assert images["b.png"].masks == {}
    assert images["a.png"].masks["car"].shape == (40, 60)
    assert coco_names(data.path) == ("car", "road")
    assert [image.masks for image in read_coco(data.images, data.path, ("road",))] == [{}, {}]


@pytest.mark.parametrize("crowd", [0, 1])
@pytest.mark.parametrize("compressed", [True, False])
def test_crowds_count_in_both_forms_of_rle(data: Dataset, crowd: int, compressed: bool) -> None:
    mask = np.zeros((40, 60), bool)
    mask[5:15, 7:17] = True
    counts = [7 * 40 + 5, *[10, 30] * 9, 10]
    counts.append(40 * 60 - sum(counts))
    rle = encode_rle(mask) if compressed else {"size": [40, 60], "counts": counts}
    data.annotate(segmentation=rle, iscrowd=crowd)
    images, _ = data.read()
    np.testing.assert_array_equal(images["a.png"].masks["car"], mask)


def test_ids_of_any_kind(data: Dataset) -> None:
    data.document["images"][0]["id"] = "7"
    data.annotate(category_id="3", image_id=7.0)
    assert data.pixels() == 100
    data.document["images"][0]["id"] = "photo-1"
    data.annotate(image_id=" photo-1")
    assert data.pixels() == 100
    data.document["images"][0]["id"] = data.document["annotations"][0]["image_id"] = 0
    data.document["categories"][0]["id"] = data.document["annotations"][0]["category_id"] = 0
    assert data.pixels() == 100


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks(data: Dataset, encoding: str) -> None:
    data.document["categories"][0]["name"] = "véhicule"
    data.path.write_text(json.dumps(data.document, ensure_ascii=False), encoding=encoding)
    assert coco_names(data.path) == ("véhicule", "road")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": "\xe9"}', "is not UTF-8. Save it as UTF-8"),
        (b"{", "not a readable JSON file"),
        (b"", "not a readable JSON file"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "got a list .COCO results"),
        (b"3", "got int"),
        (b'{"shapes": []}', "this is a file of labelme"),
        (b'{"images": [], "annotations": []}', "categories is missing"),
        (b'{"images": [], "categories": [], "annotations": null}', "annotations is missing"),
        (b'{"images": [], "categories": [], "annotations": []}', "lists no image"),
        (b'{"images": [3], "categories": [], "annotations": []}', "entry 0 of 'images' is 3"),
        (b'{"images": [{}], "categories": [], "annotations": []}', "lists no category"),
    ],
)
def test_what_is_no_coco_file(data: Dataset, content: bytes, message: str) -> None:
    data.path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        coco_names(data.path)


def test_a_missing_file(data: Dataset) -> None:
    with pytest.raises(InputError, match=r"coco\.json: not a readable JSON file \(No such file"):
        coco_names(data.path)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_a_missing_list(data: Dataset, key: str) -> None:
    del data.document[key]
    refused(data, f"expected an object with the lists.*{key} is missing")


# images


def test_a_size_that_is_not_the_files(data: Dataset) -> None:
    data.document["images"][0].update(width=120, height=80)
    left_out(data, r"image 7: 120x80 pixels; its image a\.png has 60x40")


@pytest.mark.parametrize("sides", [{}, {"width": 0, "height": 0}, {"width": None, "height": None}])
def test_a_size_that_is_not_stated(data: Dataset, sides: dict[str, Any]) -> None:
    data.document["images"][0] = {"id": 7, "file_name": "a.png", **sides}
    assert data.pixels() == 100
    data.annotate(segmentation=[[10, 10, 200, 10, 200, 20]])
    left_out(data, r"annotation 1: a polygon reaches x = 200, but its image has 60x40 pixels")


def test_a_size_as_text(data: Dataset) -> None:
    data.document["images"][0].update(width="60", height=40.0)
    assert data.pixels() == 100
    data.document["images"][0].update(width="wide")
    left_out(data, "image 7: 'width' is 'wide'; expected pixels")


@pytest.mark.parametrize("name", [None, 3, "", "absent"])
def test_no_file_name(data: Dataset, name: Any) -> None:
    data.document["images"][0]["file_name"] = name
    if name == "absent":
        del data.document["images"][0]["file_name"]
    left_out(data, "image 7: 'file_name' is .*expected a file's name")


def test_an_image_that_is_not_there(data: Dataset) -> None:
    (data.images / "a.png").unlink()
    left_out(data, r"image 7: no image 'a\.png' in")
    (data.images / "b.png").unlink()
    refused(data, r"none of its images can be used. The first: .*image 7: no image")


def test_a_file_that_is_no_image(data: Dataset) -> None:
    (data.images / "a.png").write_bytes(b"no picture")
    images, remarks = data.read()
    assert list(images) == ["b.png"]
    assert "a.png: not a readable image" in remarks.left_out[0]


def test_images_without_or_with_the_same_id(data: Dataset) -> None:
    data.document["images"][0].pop("id")
    data.document["annotations"].append({"image_id": 8, "category_id": 4, "segmentation": SQUARE})
    images, remarks = data.read()
    assert list(images) == ["b.png"]
    assert "image 'a.png': has no id" in remarks.left_out[1]
    assert "annotation 1: no image in the file has its image_id" in remarks.left_out[0]
    data.document["images"][0]["id"] = "8"
    refused(data, "2 images have the id 8")


def test_a_file_that_is_listed_twice(data: Dataset) -> None:
    data.document["images"][1]["file_name"] = "a.png"
    data.document["annotations"].append({"id": 2, "image_id": 8, "category_id": 3, "segmentation": OTHER})
    assert data.pixels() == 200
    assert "a.png is also" in data.read()[1].notes[0]


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("train/a.png", "train/a.png"),
        ("train\\a.png", "train/a.png"),  # Windows
        ("images\\a.png", "a.png"),
        ("..\\..\\label-studio\\media\\upload\\4\\a.png", "a.png"),
        ("/home/me/photos/a.png", "a.png"),
        ("C:\\photos\\a.png", "a.png"),
        ("a.png", "deep/down/a.png"),
        ("train/a.png", "split/train/a.png"),
        ("https://example.org/x/a.png?token=1", "a.png"),
        ("https://example.org/x/my%20car.png", "my car.png"),
        ("/data/local-files/?d=set/a.png", "set/a.png"),
        ("my%20car.png", "my car.png"),
        ("100%.png", "100%.png"),
        ("A.PNG", "a.png"),
        (unicodedata.normalize("NFC", "café.png"), unicodedata.normalize("NFD", "café.png")),
        (unicodedata.normalize("NFD", "é/è.png"), unicodedata.normalize("NFC", "é/è.png")),
    ],
)
def test_names_of_files(data: Dataset, written: str, stored: str) -> None:
    (data.images / "a.png").unlink()
    data.picture(stored)
    data.document["images"][0]["file_name"] = written
    images, remarks = data.read()
    assert not remarks.left_out
    assert images[stored].masks["car"].sum() == 100


def test_a_name_that_fits_several_files(data: Dataset) -> None:
    (data.images / "a.png").unlink()
    data.picture("one/a.png")
    data.picture("two/a.png")
    left_out(data, r"image 7: 'a\.png' could be one/a\.png, two/a\.png in .*Name its folder")
    data.document["images"][0]["file_name"] = "set/two/a.png"
    assert data.read()[0]["two/a.png"].masks["car"].sum() == 100


def test_a_file_of_the_same_name_in_another_folder_is_not_taken(data: Dataset) -> None:
    (data.images / "a.png").unlink()
    data.picture("val/a.png")
    data.document["images"][0]["file_name"] = "train/a.png"
    left_out(data, r"no image 'train/a\.png'")


def test_hidden_files_are_no_images(data: Dataset) -> None:
    (data.images / "a.png").unlink()
    data.picture(".trash/a.png")
    left_out(data, r"no image 'a\.png'")


# categories


@pytest.mark.parametrize("name", [None, 5, " ", "absent"])
def test_a_category_without_a_name(data: Dataset, name: Any) -> None:
    data.document["categories"][1]["name"] = name
    if name == "absent":
        del data.document["categories"][1]["name"]
    refused(data, "category 4: 'name' is")


def test_a_category_without_an_id(data: Dataset) -> None:
    del data.document["categories"][1]["id"]
    refused(data, "the id of entry 1 of 'categories' is None")


def test_a_category_named_twice_is_one_class(data: Dataset) -> None:
    data.document["categories"][1]["name"] = "car"
    data.document["annotations"].append({"id": 2, "image_id": 7, "category_id": 4, "segmentation": OTHER})
    assert data.pixels() == 200
    assert coco_names(data.path) == ("car",)


def test_two_categories_of_one_id(data: Dataset) -> None:
    data.document["categories"][1]["id"] = "3"
    refused(data, "category 3: has two names, 'car' and 'road'")


def test_an_annotation_of_no_category(data: Dataset) -> None:
    data.annotate(category_id=1)
    left_out(data, "annotation 1: no category has the id 1")
    data.annotate(category_id="absent")
    left_out(data, "annotation 1: no category has the id None")


@pytest.mark.parametrize(
    ("categories", "names"),
    [
        ([(0, "cars", "none"), (1, "car", "cars"), (2, "road", "cars")], ("car", "road")),  # Roboflow
        ([(0, "cars", "none"), (1, "car", "vehicle"), (2, "road", "ground")], ("car", "road")),
        ([(0, "bus", "none"), (1, "car", "none")], ("bus", "car")),  # a flat list
        ([(5, "person", "person"), (1, "car", "vehicle")], ("person", "car")),  # COCO itself
        ([(5, "bus", None), (1, "car", None)], ("bus", "car")),
        ([(5, "bus", "none"), (1, "car", "vehicle")], ("bus", "car")),
    ],
)
def test_the_root_that_groups_others_is_no_class(
    data: Dataset, categories: list[tuple[int, str, str]], names: tuple[str, ...]
) -> None:
    data.document["categories"] = [{"id": i, "name": n, "supercategory": s} for i, n, s in categories]
    data.annotate(category_id=1)
    _, remarks = data.read()
    assert coco_names(data.path) == names
    assert len(remarks.notes) == len(categories) - len(names)
    assert all("'cars' only groups other categories" in note for note in remarks.notes)


def test_a_root_with_annotations_is_a_class(data: Dataset) -> None:
    data.document["categories"] = [
        {"id": 3, "name": "vehicle", "supercategory": "none"},
        {"id": 4, "name": "car", "supercategory": "vehicle"},
    ]
    data.read()
    assert coco_names(data.path) == ("vehicle", "car")


# annotations


@pytest.mark.parametrize("value", [None, [], [[]], {}, "", "absent"])
def test_an_annotation_without_segmentation(data: Dataset, value: Any) -> None:
    data.document["annotations"].append({"id": 2, "image_id": 8, "category_id": 3, "segmentation": SQUARE})
    data.annotate(segmentation=value)
    left_out(data, "annotation 1: has no segmentation, so the pixels of this 'car' are unknown")


def test_an_object_of_which_nothing_was_drawn(data: Dataset) -> None:
    """As COCO Annotator writes it."""
    empty = {"id": 2, "image_id": 7, "category_id": 3, "segmentation": [], "area": 0, "bbox": [0, 0, 0, 0]}
    data.document["annotations"].append(empty)
    assert data.pixels() == 100
    empty["bbox"] = [1, 1, 5, 5]
    left_out(data, "annotation 2: has no segmentation")


def test_a_file_of_boxes(data: Dataset) -> None:
    data.annotate(segmentation=[], bbox=[10, 10, 20, 20])
    refused(data, "no segmentation in 1 annotation, only boxes")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[10, 10, 30, 30]], "annotation 1: polygons of 4 numbers"),
        ([10, 10, 30, 30, 5], "annotation 1: a polygon of 5 numbers, an odd count"),
        ({"size": [40, 60], "counts": [3]}, "annotation 1: an RLE mask holds 3 pixels"),
        ({"size": [60, 40], "counts": [2400]}, r"annotation 1: its mask: 40x60 pixels; its image a\.png has 60x40"),
        ({"size": [10**9, 10**9], "counts": [10**18]}, r"1000000000x1000000000 pixels; its image"),
    ],
)
def test_a_segmentation_that_cannot_be_used(data: Dataset, value: Any, message: str) -> None:
    data.document["annotations"].append({"id": 2, "image_id": 8, "category_id": 3, "segmentation": SQUARE})
    data.annotate(segmentation=value)
    left_out(data, message)


def test_a_list_of_rle(data: Dataset) -> None:
    mask = np.zeros((40, 60), bool)
    mask[:5, :4] = True
    data.annotate(segmentation=[encode_rle(mask), encode_rle(mask[::-1, ::-1])])
    assert data.pixels() == 40


def test_a_mask_of_the_files_size_needs_no_size_of_the_entry(data: Dataset) -> None:
    data.document["images"][0].update(width=600, height=400)
    data.annotate(segmentation=encode_rle(np.ones((40, 60), bool)))
    assert data.pixels() == 2400


def test_corners_as_fractions(data: Dataset) -> None:
    data.annotate(segmentation=[[0.1, 0.1, 0.5, 0.1, 0.5, 0.5]])
    refused(data, "all corners of all polygons are between 0 and 1")


def test_annotations_of_images_that_are_not_listed(data: Dataset) -> None:
    for number in (2, 3):
        stray = {"id": number, "image_id": 99, "category_id": 3, "segmentation": SQUARE}
        data.document["annotations"].append(stray)
    images, remarks = data.read()
    assert len(images) == 2
    (line,) = remarks.left_out
    assert "annotation 2: no image in the file has its image_id; the same goes for 1 others." in line
    data.annotate(image_id="absent")
    refused(data, "annotation 1: no image in the file has its image_id")


def test_no_annotation_at_all(data: Dataset) -> None:
    data.document["annotations"] = []
    images, remarks = data.read()
    assert len(images) == 2
    assert "lists no annotation; every category counts as absent" in remarks.notes[0]


def test_faults_of_classes_that_are_not_wanted_do_not_matter(data: Dataset) -> None:
    data.document["annotations"].append({"id": 2, "image_id": 7, "category_id": 4, "segmentation": None})
    data.read()
    (a, _) = read_coco(data.images, data.path, ("car",))
    assert a.masks["car"].sum() == 100


def test_without_remarks_the_first_fault_ends_it(data: Dataset) -> None:
    data.annotate(segmentation=None)
    data.document["annotations"].append({"id": 2, "image_id": 8, "category_id": 3, "segmentation": SQUARE})
    assert len(data.read()[0]) == 1
    with pytest.raises(InputError, match="has no segmentation"):
        list(read_coco(data.images, data.path))


# EXIF: an oblong photo whose lower right quarter, as viewers show it, is labelled

QUARTERS = {
    1: (slice(20, None), slice(30, None)),
    2: (slice(20, None), slice(None, 30)),
    3: (slice(None, 20), slice(None, 30)),
    4: (slice(None, 20), slice(30, None)),
}
"""Where it lies in the pixels as stored, for orientations that keep the size."""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["polygon", "rle"])
def test_labels_drawn_upright(data: Dataset, orientation: int, form: str) -> None:
    data.picture("a.png", (60, 40) if orientation < 5 else (40, 60), orientation)
    expected = np.zeros((40, 60), bool)
    expected[20:, 30:] = True
    polygon = [[30, 20, 60, 20, 60, 40, 30, 40]]
    data.annotate(segmentation=polygon if form == "polygon" else encode_rle(expected))
    for drawn_on in (None, "upright"):
        images, remarks = data.read(drawn_on)
        np.testing.assert_array_equal(images["a.png"].masks["car"], expected)
        doubtful = drawn_on is None and 1 < orientation < 5
        assert [("does not change its size" in note) for note in remarks.notes] == [True] * doubtful


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["polygon", "rle"])
def test_labels_drawn_on_the_pixels_as_stored(data: Dataset, orientation: int, form: str) -> None:
    sideways = orientation > 4
    size = (40, 60) if sideways else (60, 40)
    path = data.picture("a.png", size, orientation)
    stored = np.zeros(size[::-1], bool)
    stored[:10, :20] = True
    data.document["images"][0].update(width=size[0], height=size[1])
    data.annotate(segmentation=[[0, 0, 20, 0, 20, 10, 0, 10]] if form == "polygon" else encode_rle(stored))
    images, _ = data.read("stored")
    with Image.open(path) as image:
        marked = Image.fromarray(stored.astype(np.uint8) * 255).convert("RGB")
        marked.getexif().update(image.getexif())
    expected = np.asarray(ImageOps.exif_transpose(marked))[:, :, 0] > 0
    np.testing.assert_array_equal(images["a.png"].masks["car"], expected)
    if sideways:
        left_out(data, r"as stored; EXIF orientation \d turns it to 60x40.*--labels-orientation stored")


def test_a_stored_size_beside_polygons_drawn_upright(data: Dataset) -> None:
    data.picture("a.png", (40, 60), 6)
    data.document["images"][0].update(width=40, height=60)  # as Label Studio states it
    left_out(
        data, "If its polygons were nevertheless drawn upright, as in some tools, add --labels-orientation upright"
    )
    assert data.pixels("upright") == 100


def test_upright_labels_that_are_said_to_be_stored(data: Dataset) -> None:
    data.picture("a.png", (40, 60), 6)
    _, remarks = data.read("stored")
    assert "60x40 pixels, the size of a.png upright; with --labels-orientation stored, 40x60 are" in remarks.left_out[0]


def test_a_square_photo_is_read_upright_and_it_is_said(data: Dataset) -> None:
    data.picture("a.png", (40, 40), 6)
    data.document["images"][0].update(width=40, height=40)
    data.annotate(segmentation=[[0, 0, 20, 0, 20, 10, 0, 10]])
    images, remarks = data.read()
    assert images["a.png"].masks["car"][:10, :20].all()
    assert "EXIF orientation 6 does not change its size" in remarks.notes[0]
    images, remarks = data.read("stored")
    assert images["a.png"].masks["car"][:20, 30:].all()
    assert not remarks.notes


def test_names_of_two_splits_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    data = Dataset(tmp_path)
    data.images = data.images.rename(tmp_path / "val")
    first, second = data.document["images"]
    first["file_name"], second["file_name"] = "train/a.png", "val/a.png"
    data.document["annotations"].append({"id": 2, "image_id": 8, "category_id": 3, "segmentation": OTHER, "iscrowd": 0})
    images, remarks = data.read()
    assert images["a.png"].masks["car"].sum() == 100, "the label of val/a.png alone"
    assert images["a.png"].masks["car"][25, 35]
    assert any("train/a.png" in line for line in remarks.left_out)


def test_labels_of_another_folder_are_pointed_out(tmp_path: Path) -> None:
    data = Dataset(tmp_path)
    for entry in data.document["images"]:
        entry["file_name"] = f"train/{entry['file_name']}"
    _, remarks = data.read()
    assert any("lies in other folders" in line for line in remarks.notes)


def test_polygons_outside_the_stated_size_are_refused(tmp_path: Path) -> None:
    data = Dataset(tmp_path)
    data.annotate(segmentation=[[1000, 10, 1200, 10, 1200, 20, 1000, 20]])
    images, remarks = data.read()
    assert "a.png" not in images
    assert any("reaches x = 1200" in line for line in remarks.left_out)


def test_a_size_of_too_many_digits_is_refused_by_name(tmp_path: Path) -> None:
    data = Dataset(tmp_path)
    data.document["images"][0]["width"] = "9" * 5000
    _, remarks = data.read()
    assert any("'width'" in line for line in remarks.left_out)
