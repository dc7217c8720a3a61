"""What the forms have in common, and the properties that no tool would notice."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cgsam_edge.agreement import mask_iou
from cgsam_edge.datasets import FORMATS, LabelledPicture
from cgsam_edge.datasets.brush import encode_brush
from cgsam_edge.datasets.shapes import bridged, row_counts
from cgsam_edge.datasets.voc import voc_palette
from cgsam_edge.errors import ImageError, InputError, MissingLibraryError, OutputError
from cgsam_edge.polygons import mask_polygons
from tests.datasets.pictures import CONCEPTS, box, disc, draw_images, labelled_object, picture, pictures, ring
from tests.runtime.test_objects import runs_of


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_labels_give_the_same_bytes(form: str, tmp_path: Path) -> None:
    source = draw_images(tmp_path / "source")
    for name, images in (("one", source.joinpath), ("two", lambda name: (source / name).read_bytes())):
        again = (LabelledPicture.from_json(one.to_json()) for one in pictures())
        files = FORMATS[form].write(again, CONCEPTS, tmp_path / name, images=images)
        assert files
        assert all(path.exists() for path in files)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    FORMATS[form].write(pictures(), CONCEPTS, tmp_path / "one", images=source.joinpath)  # over itself
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    copied = [data for name, data in contents(tmp_path / "one").items() if name.endswith("b.png")]
    assert (source / "street" / "b.png").read_bytes() in copied


@pytest.mark.parametrize("form", FORMATS)
def test_unknown_concepts_and_repeated_ones_are_refused(form: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png: labelled 'car', but the data set's concepts are road\."):
        FORMATS[form].write([picture("a.png", {"car": box()})], ["road"], tmp_path)
    for concepts in ([], ["road", "road"]):
        with pytest.raises(InputError, match="each named once"):
            FORMATS[form].write([], concepts, tmp_path)


@pytest.mark.parametrize("form", FORMATS)
def test_a_folder_that_cannot_be_made_is_named(form: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"file.*: cannot be made"):
        FORMATS[form].write(pictures(), CONCEPTS, tmp_path / "file")


@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_that_is_gone_is_named(form: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone.*a\.png: cannot be read \(No such file"):
        FORMATS[form].write(pictures(), CONCEPTS, tmp_path / "set", images=(tmp_path / "gone").joinpath)


@pytest.mark.parametrize("form", FORMATS)
def test_no_picture_at_all(form: str, tmp_path: Path) -> None:
    files = FORMATS[form].write([], CONCEPTS, tmp_path / "set")
    assert all(path.exists() for path in files)


@pytest.mark.parametrize("form", ["yolo", "voc", "labelme", "geojson"])
def test_pictures_that_differ_in_their_suffix_alone_keep_both_labels(form: str, tmp_path: Path) -> None:
    found = [picture("a.png", {"car": box()}), picture("a.jpg", {"road": ring()}), picture("a-jpg.png", {})]
    FORMATS[form].write(found, CONCEPTS, tmp_path, images=lambda _: b"picture")
    names = {path.stem for path in tmp_path.rglob("a*") if path.read_bytes() != b"picture"}
    assert names == {"a", "a-jpg", "a-jpg-png"}
    assert {path.name for path in tmp_path.rglob("a*") if path.read_bytes() == b"picture"} == {
        *("a.png", "a-jpg.jpg", "a-jpg-png.png"),
    }


def test_yolo_has_no_second_folder_images_in_a_path(tmp_path: Path) -> None:
    two = [picture(f"{folder}/a.png", {"car": box()}) for folder in ("images", "images_", "street/images")]
    FORMATS["yolo"].write(two, CONCEPTS, tmp_path)
    labels = {path.relative_to(tmp_path / "labels" / "train").as_posix() for path in tmp_path.rglob("*.txt")}
    assert labels == {"images_/a.txt", "images_/a-png.txt", "street/images_/a.txt"}


def test_yolo_without_a_split_says_what_it_does(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    odd = ["car: red", "'quoted'", "№ 5", "yes"]
    FORMATS["yolo"].write([picture("a.png", {"yes": box()})], odd, tmp_path)
    text = (tmp_path / "data.yaml").read_text(encoding="utf-8")
    assert "the data set has no split val" in text
    read = yaml.safe_load(text)
    assert read["names"] == dict(enumerate(odd))
    assert read["train"] == read["val"] == "images/train"
    assert (tmp_path / "labels" / "train" / "a.txt").read_text() == (
        "3 0.041667 0.125 0.333333 0.125 0.333333 0.375 0.041667 0.375\n"
    )


def test_bridges_have_no_width() -> None:
    """A ring, holes in it, and an island: one outline with the same area and, filled evenly, the same pixels."""
    mask = disc(60, 40, 38)
    for x, y, radius in ((45, 30, 8), (75, 30, 8), (60, 58, 10)):
        mask &= ~disc(x, y, radius)
    mask |= disc(60, 58, 4) | disc(110, 10, 6)
    polygons = mask_polygons(runs_of(mask), 0)
    assert [len(one.holes) for one in polygons] == [3, 0, 0]
    outline = bridged(polygons)
    x, y = outline.T
    assert abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2 == mask.sum()
    scaled = np.zeros((4 * mask.shape[0], 4 * mask.shape[1]), np.uint8)
    cv2.fillPoly(scaled, [4 * outline.astype(np.int32)], 1)
    assert mask_iou(scaled.astype(bool), np.kron(mask, np.ones((4, 4))).astype(bool)) > 0.95


def test_voc_colours_and_overlaps(tmp_path: Path) -> None:
    """The colours that VOC's development kit names; a car on a road stays visible, whatever their order."""
    assert voc_palette()[[0, 1, 2, 3, 15, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192],
    ]  # fmt: skip
    small, large = labelled_object("car", disc(60, 40, 5)), labelled_object("road", disc(60, 40, 30))
    FORMATS["voc"].write([LabelledPicture("a.png", 120, 80, (small, large))], CONCEPTS, tmp_path)
    opened = Image.open(tmp_path / "SegmentationClass" / "a.png")
    assert opened.mode == "P"
    assert (np.array(opened) == np.where(disc(60, 40, 5), 1, np.where(disc(60, 40, 30), 3, 0))).all()
    assert opened.getpalette()[:6] == [0, 0, 0, 128, 0, 0]  # type: ignore[index]
    assert (tmp_path / "labelmap.txt").read_text().splitlines()[1:3] == ["background:0,0,0::", "car:128,0,0::"]


def test_voc_holds_254_concepts_and_marks_further_objects_as_void(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="254 concepts; the data set has 255"):
        FORMATS["voc"].write([], [f"c{i}" for i in range(255)], tmp_path)
    dots = np.zeros((256, 80, 120), bool)
    for number in range(256):
        dots[number, number // 40 * 4, number % 40 * 3] = True
    objects = tuple(labelled_object("car", dot) for dot in dots)
    FORMATS["voc"].write([LabelledPicture("a.png", 120, 80, objects)], CONCEPTS, tmp_path)
    numbers = np.array(Image.open(tmp_path / "SegmentationObject" / "a.png"))
    assert sorted(numbers[dots.any(0)].tolist()) == [*range(1, 256), 255]
    assert (np.array(Image.open(tmp_path / "SegmentationClass" / "a.png")) == dots.any(0)).all()


@pytest.mark.parametrize(
    ("mask", "counts"),
    [([[0, 1, 1], [1, 0, 0]], [1, 3, 2]), ([[1, 1]], [0, 2]), ([[1, 0]], [0, 1, 1]), ([[0, 0, 1]], [2, 1])],
)
def test_runs_along_rows(mask: list[list[int]], counts: list[int]) -> None:
    assert row_counts(np.array(mask, bool)) == counts


@pytest.mark.parametrize("where", [(0, 0), (3, 5), (17, 11)])
def test_brush_strokes_are_label_studios(where: tuple[int, int]) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    mask = np.zeros((40, 60), bool)
    x, y = where
    mask[y : y + 29, x : x + 43] = np.random.default_rng(0).random((29, 43)) < 0.7
    made = encode_brush(mask[y : y + 29, x : x + 43], (x, y, 43, 29), (60, 40))
    np.testing.assert_array_equal(brush.decode_rle(made).reshape(40, 60, 4)[..., 3] == 255, mask)
    assert made == brush.mask2rle((255 * mask).astype(np.uint8))[: len(made)]


def test_long_runs_of_brush_strokes() -> None:
    """Above 65,536 values, a run is several."""
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    mask = np.zeros((300, 400), bool)
    mask[90:200, :] = True
    made = encode_brush(mask[90:200], (0, 90, 400, 110), (400, 300))
    assert made == brush.mask2rle((255 * mask).astype(np.uint8))[: len(made)]


def test_geojson_is_in_the_coordinates_of_a_geotiff(tmp_path: Path) -> None:
    """A grid of 0.5 m in UTM 33N; rasterio draws the polygons back onto the picture's own grid."""
    rasterio = pytest.importorskip("rasterio", reason="the extra 'tiff' is not installed")
    from rasterio.features import rasterize

    transform = rasterio.transform.from_origin(388_000, 5_820_000, 0.5, 0.5)
    for name, system in (("utm.tif", "EPSG:32633"), ("degrees.tif", "EPSG:4326"), ("unnamed.tif", None)):
        shape = {"driver": "GTiff", "width": 120, "height": 80, "count": 3, "dtype": "uint8", "BIGTIFF": "YES"}
        with rasterio.open(tmp_path / name, "w", crs=system, transform=transform, **shape) as file:
            file.write(np.full((3, 80, 120), 90, np.uint8))
    names = ("utm", "degrees", "unnamed")
    found = [picture(f"{name}.tif", {"road": ring()}) for name in names]
    FORMATS["geojson"].write(found, CONCEPTS, tmp_path / "set", images=tmp_path.joinpath)
    utm, degrees, unnamed = (json.loads((tmp_path / "set" / f"{name}.geojson").read_text()) for name in names)
    assert utm["crs"] == {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    assert "crs" not in degrees
    assert unnamed["crs"] is None, "not WGS 84"
    assert "units" not in utm
    (feature,) = utm["features"]
    back = rasterize([feature["geometry"]], (80, 120), transform=transform).astype(bool)
    assert mask_iou(back, ring()) >= 0.98
    outer, hole = feature["geometry"]["coordinates"]
    assert outer[0] == outer[-1]
    assert min(x for x, _ in outer) == pytest.approx(388_000 + 25)
    assert (_area(outer) > 0, _area(hole) > 0) == (True, False), "counterclockwise, and clockwise for a hole"


def test_a_geotiff_with_control_points(tmp_path: Path) -> None:
    """rasterio has no transformation for it, which would look like pixels."""
    rasterio = pytest.importorskip("rasterio", reason="the extra 'tiff' is not installed")
    from rasterio.control import GroundControlPoint

    points = [GroundControlPoint(y, x, 10 + x / 1000, 50 - y / 1000) for x in (0, 120) for y in (0, 80)]
    shape = {"driver": "GTiff", "width": 120, "height": 80, "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", crs="EPSG:4326", gcps=points, **shape) as file:
        file.write(np.zeros((3, 80, 120), np.uint8))
    data = (tmp_path / "a.tif").read_bytes()
    FORMATS["geojson"].write([picture("a.tif", {"car": box()})], CONCEPTS, tmp_path / "set", images=lambda _: data)
    document = json.loads((tmp_path / "set" / "a.geojson").read_text())
    corners = np.array(document["features"][0]["geometry"]["coordinates"][0])
    np.testing.assert_allclose(corners.min(0), [10.005, 49.970], atol=1e-6)
    np.testing.assert_allclose(corners.max(0), [10.040, 49.990], atol=1e-6)
    assert "units" not in document


def test_a_geotiff_without_rasterio_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels in place of coordinates would lie in the Gulf of Guinea."""
    path = tmp_path / "a.tif"
    image = Image.new("RGB", (120, 80))
    image.save(path, tiffinfo={33550: (0.5, 0.5, 0.0), 33922: (0.0, 0.0, 0.0, 388_000.0, 5_820_000.0, 0.0)})
    image.save(tmp_path / "plain.tif")
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'cgsam-edge\[tiff\]'"):
        FORMATS["geojson"].write([picture("a.tif", {})], CONCEPTS, tmp_path / "set", images=tmp_path.joinpath)
    FORMATS["geojson"].write([picture("plain.tif", {})], CONCEPTS, tmp_path / "set", images=tmp_path.joinpath)
    assert json.loads((tmp_path / "set" / "plain.geojson").read_text())["units"] == "pixels, y down"


def _area(corners: list[list[float]]) -> float:
    x, y = np.array(corners[:-1]).T
    x, y = x - x[0], y - y[0]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)
