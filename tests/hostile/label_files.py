"""Labels as annotation tools write them: COCO files, and PNGs of class indices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.hostile.cases import READ, REFUSED, case
from tests.hostile.kit import Kit, put
from tests.quality.coco_files import SQUARE, Dataset
from tests.quality.png_files import GREY, write_png

COCO, PNG = "COCO file", "label PNG"


def _coco(folder: Path, change: Callable[[dict[str, Any]], object], *, orientation: int | None = None) -> Path:
    """Write a COCO file of two pictures with a car in the first, changed."""
    data = Dataset(folder)
    if orientation is not None:
        data.picture("a.png", (40, 60), orientation)
    change(data.document)
    return put(data.path, json.dumps(data.document))


def _annotated(folder: Path, **changes: Any) -> Path:
    """Change the first annotation; the second picture has another one."""

    def change(document: dict[str, Any]) -> None:
        other = {"id": 2, "image_id": 8, "category_id": 4, "segmentation": SQUARE}
        document["annotations"] = [{**document["annotations"][0], **changes}, other]

    return _coco(folder, change)


@case(COCO, READ, "read: a.png: car 100…read: b.png: road 100")
def flat_polygon(folder: Path, kit: Kit) -> Path:
    """A polygon that is not in a list of polygons, as VIA and RectLabel write it"""
    return _annotated(folder, segmentation=SQUARE[0])


@case(COCO, READ, "read: a.png: car 100")
def overlapping_parts(folder: Path, kit: Kit) -> Path:
    """A part that is listed twice, and a stray point, as COCO Annotator leaves them"""
    return _annotated(folder, segmentation=[*SQUARE, *SQUARE, [30, 30]])


@case(COCO, READ, "read: a.png: car 2400")
def crowd(folder: Path, kit: Kit) -> Path:
    """`iscrowd` with uncompressed RLE, as CVAT writes every mask"""
    return _annotated(folder, iscrowd=1, segmentation={"size": [40, 60], "counts": [0, 2400]})


@case(COCO, READ, "read: a.png: car 100")
def ids_as_text(folder: Path, kit: Kit) -> Path:
    """Ids as text in one place and as numbers in another"""
    return _annotated(folder, image_id="7", category_id="3")


@case(COCO, READ, "read: a.png: car 100…'cars' only groups other categories and has no annotation; it is not a class.")
def root_category(folder: Path, kit: Kit) -> Path:
    """Roboflow's root category"""

    def change(document: dict[str, Any]) -> None:
        for category in document["categories"]:
            category["supercategory"] = "cars"
        document["categories"].insert(0, {"id": 0, "name": "cars", "supercategory": "none"})

    return _coco(folder, change)


@case(COCO, READ, "read: a.png: car 100")
def windows_paths(folder: Path, kit: Kit) -> Path:
    """File names as Label Studio writes them on Windows"""
    return _coco(folder, lambda document: document["images"][0].update(file_name="..\\..\\media\\upload\\4\\a.png"))


@case(COCO, READ, "read: a.png: car 100")
def with_byte_order_mark(folder: Path, kit: Kit) -> Path:
    """A byte order mark"""
    path = _coco(folder, lambda _: None)
    return put(path, b"\xef\xbb\xbf" + path.read_bytes())


@case(COCO, REFUSED, "read: b.png: road 100…annotation 1: has no segmentation, so the pixels of this 'car' are unknown")
def one_box(folder: Path, kit: Kit) -> Path:
    """A box among masks"""
    return _annotated(folder, segmentation=[], bbox=[10, 10, 10, 10], area=100)


@case(COCO, REFUSED, "no segmentation in 1 annotation, only boxes or key points")
def boxes_alone(folder: Path, kit: Kit) -> Path:
    """Boxes alone"""
    return _coco(folder, lambda document: document["annotations"][0].update(segmentation=[]))


@case(COCO, REFUSED, "annotation 1: a polygon of 5 numbers, an odd count (the counts of an RLE?)")
def odd_polygon(folder: Path, kit: Kit) -> Path:
    """The counts of an RLE in place of a polygon"""
    return _annotated(folder, segmentation=[0, 20, 30, 4, 5])


@case(COCO, REFUSED, "annotation 1: polygons of 4 numbers, too few for an area (a box, or points as pairs?)")
def box_as_polygon(folder: Path, kit: Kit) -> Path:
    """A box in place of a polygon"""
    return _annotated(folder, segmentation=[[10, 10, 20, 20]])


@case(COCO, REFUSED, "all corners of all polygons are between 0 and 1, like fractions of the image's size")
def fractions(folder: Path, kit: Kit) -> Path:
    """Corners as YOLO has them"""
    return _coco(folder, lambda d: d["annotations"][0].update(segmentation=[[0.1, 0.1, 0.5, 0.1, 0.5, 0.5]]))


@case(COCO, REFUSED, "annotation 1: a polygon reaches … it was drawn on a picture of another size")
def endless_polygon(folder: Path, kit: Kit) -> Path:
    """A corner a billion pixels away"""
    return _annotated(folder, segmentation=[[0, 0, 1e9, 0, 5, 5]])


@case(COCO, REFUSED, "annotation 1: its mask: 1000000000x1000000000 pixels; its image a.png has 60x40")
def endless_mask(folder: Path, kit: Kit) -> Path:
    """An RLE that declares a billion billion pixels"""
    return _annotated(folder, segmentation={"size": [10**9, 10**9], "counts": [10**18]})


@case(COCO, REFUSED, "annotation 1: no category has the id 1")
def category_of_none(folder: Path, kit: Kit) -> Path:
    """Categories counted from 1 in one place and from 0 in another"""
    return _annotated(folder, category_id=1)


@case(COCO, REFUSED, "image 7: 120x80 pixels; its image a.png has 60x40")
def resized_images(folder: Path, kit: Kit) -> Path:
    """Images that were scaled after they had been labelled"""
    return _coco(folder, lambda document: document["images"][0].update(width=120, height=80))


@case(COCO, REFUSED, "image 7: 40x60 pixels, the size of a.png as stored; EXIF orientation 6 turns it to 60x40")
def labelled_as_stored(folder: Path, kit: Kit) -> Path:
    """Labels drawn on a photo lying on its side"""
    return _coco(folder, lambda document: document["images"][0].update(width=40, height=60), orientation=6)


@case(COCO, REFUSED, "2 images have the id 7, so annotations cannot be assigned")
def joined_files(folder: Path, kit: Kit) -> Path:
    """Two files joined without new ids"""
    return _coco(folder, lambda document: document["images"][1].update(id=7))


@case(COCO, REFUSED, "expected an object with the lists images, annotations and categories; this is a file of labelme")
def labelme(folder: Path, kit: Kit) -> Path:
    """A file of labelme"""
    return put(folder / "a.json", json.dumps({"version": "5.4.1", "shapes": [], "imagePath": "a.png"}))


@case(COCO, REFUSED, "got a list (COCO results, or tasks of Label Studio?)")
def results(folder: Path, kit: Kit) -> Path:
    """A model's results in place of the labels"""
    return put(folder / "results.json", json.dumps([{"image_id": 1, "category_id": 1, "score": 0.5}]))


@case(COCO, REFUSED, "its lists are nested too deeply")
def nested(folder: Path, kit: Kit) -> Path:
    """Lists nested 100,000 deep"""
    return put(folder / "nested.json", "[" * 100_000)


def _pngs(folder: Path, label: Image.Image, name: str = "a.png") -> Path:
    """Write a picture of 6x4 with a label; returns the folder of labels."""
    for each in ("images", "labels"):
        (folder / each).mkdir()
    Image.new("RGB", (6, 4)).save(folder / "images" / "a.jpg")
    label.save(folder / "labels" / name)
    put(folder / "classes.txt", "sky\ncar\nroad\npole\nignore: 255\n")
    return folder / "labels"


def _grey(*rows: list[int]) -> Image.Image:
    return Image.fromarray(np.resize(np.array(rows, np.uint8), (4, 6)))


@case(PNG, READ, "read: a.jpg: sky 4 / car 8 / road 8 / pole 4")
def few_bits(folder: Path, kit: Kit) -> Path:
    """Grey of 2 bits, whose greatest index a decoder spreads to 255"""
    path = _pngs(folder, _grey([0]))
    write_png(path / "a.png", np.resize([0, 1, 2, 3, 2, 1], (4, 6)), 2, GREY)
    return path


@case(PNG, REFUSED, "a.png: its pixels are colours (RGB), not class indices")
def colours(folder: Path, kit: Kit) -> Path:
    """Colours in place of indices"""
    return _pngs(folder, Image.new("RGB", (6, 4), (128, 64, 128)))


@case(PNG, REFUSED, "a.png: holds index 254, which has no class (0 to 3)")
def index_without_class(folder: Path, kit: Kit) -> Path:
    """An index that the class file does not name"""
    return _pngs(folder, _grey([0, 254]))


@case(PNG, REFUSED, "a.jpg: no label a.png in…a.tif is not a PNG, and other formats may change indices")
def another_format(folder: Path, kit: Kit) -> Path:
    """A label in another format"""
    path = _pngs(folder, _grey([0, 1]), "a.tif")
    Image.new("RGB", (6, 4)).save(folder / "images" / "b.jpg")
    _grey([0, 1]).save(path / "b.png")
    return path


@case(PNG, REFUSED, "a.png: not a readable image")
def truncated_label(folder: Path, kit: Kit) -> Path:
    """A label whose file is cut off"""
    path = _pngs(folder, _grey([0, 1]))
    content = (path / "a.png").read_bytes()
    return put(path / "a.png", content[: len(content) - 20]).parent


@case(PNG, READ, "read: a.jpg: car 24")
def files_of_another_system(folder: Path, kit: Kit) -> Path:
    """Beside it what macOS leaves on foreign disks"""
    path = _pngs(folder, _grey([1]))
    for each in (path / "._a.png", folder / "images" / "._a.jpg", path / ".DS_Store"):
        put(each, b"\0\5\x16\7")
    return path
