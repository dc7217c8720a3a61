"""Label PNGs: the stored indices at every depth and colour type, and which label belongs to which image."""

from __future__ import annotations

import itertools
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgsam_edge.errors import InputError
from cgsam_edge.quality.labels import Classes, LabelledImage, Remarks, open_labels, read_classes, read_index_labels
from cgsam_edge.quality.labels.index_labels import open_index_labels
from cgsam_edge.quality.labels.index_png import _grey, read_indices
from cgsam_edge.written_files import png_mark
from tests.quality.png_files import COLOUR, COLOUR_ALPHA, GREY, GREY_ALPHA, PALETTE, write_png

CLASSES = Classes(("car", "road"), frozenset({255}))


@pytest.mark.parametrize(("colour", "depth"), [(GREY, 16), *itertools.product([GREY, PALETTE], [1, 2, 4, 8])])
def test_indices_are_those_stored(tmp_path: Path, colour: int, depth: int) -> None:
    top = (1 << depth) - 1
    samples = np.array([[0, 1, top, top // 2, 0], [top, 0, 1, 1, top - 1]])
    write_png(tmp_path / "a.png", samples, depth, colour)
    np.testing.assert_array_equal(read_indices(tmp_path / "a.png"), samples)


def test_indices_that_are_not_spread_stay_as_they_are() -> None:
    """Pillow has spread grey of few bits over 8 so far."""
    for values, depth in (([0, 1, 3], 2), ([0, 1, 15], 4)):
        assert _grey(np.array([values], np.uint8), depth).tolist() == [values]
    assert _grey(np.array([[0, 85, 255]], np.uint8), 2).tolist() == [[0, 1, 3]]
    assert _grey(np.array([[0, 17, 255]], np.uint8), 4).tolist() == [[0, 1, 15]]


@pytest.mark.parametrize(("colour", "channels"), [(COLOUR, 3), (GREY_ALPHA, 2), (COLOUR_ALPHA, 4)])
def test_grey_written_as_colour(tmp_path: Path, colour: int, channels: int) -> None:
    path = tmp_path / "a.png"
    indices = np.array([[0, 1, 19], [255, 3, 2]])
    samples = np.repeat(indices[:, :, None], channels, axis=2)
    if channels in (2, 4):
        samples[:, :, -1] = 255
    write_png(path, samples, 8, colour)
    np.testing.assert_array_equal(read_indices(path), indices)
    if channels in (2, 4):
        samples[0, 0, -1] = 0
        write_png(path, samples, 8, colour)
        with pytest.raises(InputError, match=r"a\.png: some pixels are transparent"):
            read_indices(path)
        samples[:, :, -1] = 255
    if channels in (3, 4):
        samples[0, 0, 1] = 7
        write_png(path, samples, 8, colour)
        with pytest.raises(InputError, match=r"a\.png: its pixels are colours.*Convert each colour"):
            read_indices(path)
    write_png(path, np.repeat(indices[:, :, None], channels, axis=2), 16, colour)
    with pytest.raises(InputError, match=r"a\.png: 16-bit"):
        read_indices(path)


def test_files_that_hold_no_indices(tmp_path: Path) -> None:
    def fails(name: str, message: str) -> None:
        with pytest.raises(InputError, match=rf"{name}: {message}"):
            read_indices(tmp_path / name)

    Image.new("L", (4, 4)).save(tmp_path / "jpeg.png", format="JPEG")
    fails("jpeg.png", ".*this is not a PNG")
    fails("missing.png", "cannot be read .No such file")
    frames = [Image.new("L", (4, 4), i) for i in range(2)]
    frames[0].save(tmp_path / "two.png", save_all=True, append_images=frames[1:])
    fails("two.png", "holds 2 pictures")
    write_png(tmp_path / "cut.png", np.zeros((40, 40)), 8, GREY)
    whole = (tmp_path / "cut.png").read_bytes()
    for length in (0, 10, 30, len(whole) // 2):
        (tmp_path / "cut.png").write_bytes(whole[:length])
        fails("cut.png", "not a readable image")


def test_a_two_bit_label_and_an_ignored_255(tmp_path: Path) -> None:
    """Multiplied by 85, class 3 would become 255 and be left out."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (4, 1)).save(tmp_path / "images" / "a.png")
    write_png(tmp_path / "labels" / "a.png", np.array([[0, 1, 2, 3]]), 2, GREY)
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\npole\nignore: 255\n")
    (image,) = open_labels(tmp_path / "images", tmp_path / "labels", tmp_path / "classes.txt").read()
    assert {name: mask.argmax() for name, mask in image.masks.items()} == {"sky": 0, "road": 1, "car": 2, "pole": 3}
    assert image.valid is not None
    assert image.valid.all()


# which label belongs to which image


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    return tmp_path


def picture(path: Path, size: tuple[int, int] = (6, 4), orientation: int = 1) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)


def label(path: Path, size: tuple[int, int] = (6, 4), index: int = 1) -> None:
    Image.new("L", size, index).save(path, format="PNG")


def pairs(folders: Path, labels: str = "labels") -> tuple[list[str], list[str]]:
    remarks = Remarks()
    found = [
        image.path.name for image in open_index_labels(folders / "images", folders / labels, CLASSES).read(remarks)
    ]
    return found, [line.replace(str(folders), "") for line in remarks.left_out]


@pytest.mark.parametrize(
    ("image", "drawn"),
    [
        ("a.jpg", "a.PNG"),
        ("A.JPG", "a.png"),
        (unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.png")),
        ("frame.01.jpg", "frame.01.png"),
    ],
)
def test_names_that_belong_together(folders: Path, image: str, drawn: str) -> None:
    picture(folders / "images" / image)
    label(folders / "labels" / drawn)
    assert pairs(folders) == ([image], [])


def test_a_label_with_another_suffix_is_named(folders: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        picture(folders / "images" / name)
    label(folders / "labels" / "a.png")
    Image.new("L", (6, 4), 1).save(folders / "labels" / "b.jpg")
    assert pairs(folders) == (
        ["a.jpg"],
        [
            "/images/b.jpg: no label b.png in /labels; b.jpg is not a PNG, and other formats may change indices.",
            "/images/c.jpg: no label c.png in /labels.",
        ],
    )


def test_hidden_files_and_overlays_are_neither_images_nor_labels(folders: Path) -> None:
    picture(folders / "images" / "a.jpg")
    label(folders / "labels" / "a.png")
    for folder in ("images", "labels"):
        (folders / folder / "._a.png").write_bytes(b"\0\5\x16\7")
        (folders / folder / "._a.jpg").write_bytes(b"\0\5\x16\7")
        (folders / folder / ".DS_Store").write_bytes(b"")
    drawn = folders / "images" / "a.overlay.png"
    Image.new("RGB", (40, 30)).save(drawn, pnginfo=png_mark())
    assert pairs(folders) == (["a.jpg"], [])
    drawn.rename(folders / "images" / "b.png")
    label(folders / "labels" / "b.png")
    assert pairs(folders) == (["a.jpg"], ["/images/b.png: cgsam drew it, from another picture."])


def test_a_picture_of_the_user_may_be_called_as_ours(folders: Path) -> None:
    for name in ("house.overlay.png", "contact-sheet.png"):
        picture(folders / "images" / name)
        label(folders / "labels" / name)
    assert pairs(folders) == (["contact-sheet.png", "house.overlay.png"], [])


def test_images_and_labels_in_one_folder(folders: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        picture(folders / "images" / name)
    label(folders / "images" / "a.png")
    picture(folders / "images" / "c.png")
    assert pairs(folders, "images") == (
        ["a.jpg"],
        ["/images/b.jpg: no label b.png in /images.", "/images/c.png: no label c.png in /images."],
    )


def test_two_images_that_could_own_a_label(folders: Path) -> None:
    for name in ("a.jpg", "a.png", "b.jpg", "C.jpg", "c.jpg"):
        picture(folders / "images" / name)
    for name in ("a.png", "b.png", "b.PNG", "c.png"):
        label(folders / "labels" / name)
    found, left_out = pairs(folders)
    assert found == ["c.jpg"]  # C.jpg has no label: c.png is that of c.jpg
    assert [line.split(": ")[0] for line in left_out] == [f"/images/{n}" for n in ("C.jpg", "a.jpg", "a.png", "b.jpg")]
    assert "C.png" in left_out[0]
    assert all("could be its label" in line for line in left_out[1:])
    assert "b.PNG, b.png" in left_out[3]


def test_one_bad_label_or_image_does_not_end_it(folders: Path) -> None:
    for name in "abcdef":
        picture(folders / "images" / f"{name}.png")
        label(folders / "labels" / f"{name}.png")
    (folders / "images" / "a.png").write_bytes(b"no picture")
    (folders / "labels" / "b.png").write_bytes(b"no picture")
    label(folders / "labels" / "c.png", size=(7, 4))
    label(folders / "labels" / "d.png", index=9)
    Image.new("RGB", (6, 4), (1, 2, 3)).save(folders / "labels" / "e.png")
    found, left_out = pairs(folders)
    assert found == ["f.png"]
    expected = ("not a readable image", "this is not a PNG", "7x4 pixels; its image", "holds index 9", "are colours")
    for line, name, message in zip(left_out, "abcde", expected, strict=True):
        assert f"/{name}.png: " in line
        assert message in line
    with pytest.raises(InputError, match=r"a\.png: not a readable image"):
        list(read_index_labels(folders / "images", folders / "labels", CLASSES))


def test_a_black_and_white_mask(folders: Path) -> None:
    picture(folders / "images" / "a.png")
    drawn = np.zeros((4, 6), np.uint8)
    drawn[0] = 255
    Image.fromarray(drawn).save(folders / "labels" / "a.png")
    with pytest.raises(InputError, match="Is it a black-and-white mask"):
        list(read_index_labels(folders / "images", folders / "labels", Classes(("road", "car"))))


def test_folders_that_hold_nothing(folders: Path) -> None:
    with pytest.raises(InputError, match="images: holds no image"):
        pairs(folders)
    picture(folders / "images" / "a.jpg")
    with pytest.raises(InputError, match="labels: holds no PNG with the name of an image in"):
        pairs(folders)
    with pytest.raises(InputError, match="elsewhere: no such folder"):
        pairs(folders, "elsewhere")


def test_names_that_are_not_utf8(folders: Path) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    try:
        picture(folders / "images" / f"{name}.jpg")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 alone")
    label(folders / "labels" / f"{name}.png")
    assert pairs(folders) == ([f"{name}.jpg"], [])


# EXIF: the label's only car pixel is the photo's upper left one as viewers show it


def one_car(size: tuple[int, int], row: int, column: int) -> Image.Image:
    indices = np.ones(size[::-1], np.uint8)
    indices[row, column] = 0
    return Image.fromarray(indices)


CORNERS = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (-1, 0), 7: (-1, -1), 8: (0, -1)}
"""Where EXIF says that the upper left pixel is stored: row and column."""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("drawn_on", [None, "upright", "stored"])
def test_orientation(folders: Path, orientation: int, drawn_on: str | None) -> None:
    size = (6, 4) if orientation < 5 else (4, 6)
    picture(folders / "images" / "a.jpg", size, orientation)
    drawn = one_car(size, *CORNERS[orientation]) if drawn_on == "stored" else one_car((6, 4), 0, 0)
    drawn.save(folders / "labels" / "a.png")
    remarks = Remarks()
    labels = open_index_labels(folders / "images", folders / "labels", CLASSES, drawn_on)
    (image,) = labels.read(remarks)
    assert image.masks["car"].shape == (4, 6)
    assert image.masks["car"].argmax() == 0
    assert image.masks["car"].sum() == 1
    assert len(remarks.notes) == (drawn_on is None and 1 < orientation < 5)


def test_labels_of_the_pixels_as_stored_are_refused(folders: Path) -> None:
    picture(folders / "images" / "a.jpg", (4, 6), 6)
    label(folders / "labels" / "a.png", (4, 6))
    _, (line,) = pairs(folders)
    assert "/labels/a.png: 4x6 pixels, the size of a.jpg as stored; EXIF orientation 6 turns it to 6x4" in line
    assert "--labels-orientation stored" in line


def test_a_label_that_has_an_orientation(folders: Path) -> None:
    picture(folders / "images" / "a.jpg", (4, 6), 6)
    exif = Image.Exif()
    exif[0x0112] = 6
    one_car((4, 6), *CORNERS[6]).save(folders / "labels" / "a.png", exif=exif)
    (image,) = read_index_labels(folders / "images", folders / "labels", CLASSES)
    assert image.masks["car"].argmax() == 0


def test_malformed_exif_is_no_orientation(folders: Path) -> None:
    path = folders / "images" / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(path, exif=exif)
    content = path.read_bytes()
    tag = struct.pack(">HH", 0x0112, 3)
    assert content.count(tag) == 1
    path.write_bytes(content.replace(tag, struct.pack(">HH", 0x0112, 2)))  # text where a number belongs
    label(folders / "labels" / "a.png")
    assert pairs(folders) == (["a.jpg"], [])


# the class file


@pytest.mark.parametrize(
    ("text", "names", "ignored"),
    [
        ("car\nroad\n\nignore: 255\n", ("car", "road"), {255}),
        ("\ufeffcar\r\nIgnore:255\r\nroad", ("car", "road"), {255}),
        ("# my classes\ncar  # a comment\nignore = 3  # odd", ("car",), {3}),
        ("tree | shrub\ncar\u200b\t# cars", ("tree", "car"), set()),
    ],
)
def test_class_files(tmp_path: Path, text: str, names: tuple[str, ...], ignored: set[int]) -> None:
    (tmp_path / "classes.txt").write_text(text, encoding="utf-8", newline="")
    read = read_classes(tmp_path / "classes.txt")
    assert read == Classes(names, frozenset(ignored))
    assert len(read.notes) == text.count("\u200b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ignore: x", "line 1: expected 'ignore: INDEX', got 'ignore: x'"),
        ("ignore: ²".encode(), "line 1: expected 'ignore: INDEX'"),
        (b"car\nCar", "line 2: 'Car' is named twice"),
        (b"\n", "names no concept"),
        (b"caf\xe9", "line 1: not UTF-8. Save the file as UTF-8"),
        (b"car\na | | b", "line 2: an empty name"),
    ],
)
def test_class_files_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_classes(tmp_path / "classes.txt")


def test_opening(folders: Path) -> None:
    with pytest.raises(InputError, match="labels: index PNGs need a class file"):
        open_labels(folders / "images", folders / "labels")
    with pytest.raises(InputError, match="elsewhere: no such file or folder"):
        open_labels(folders / "images", folders / "elsewhere")
    (folders / "coco.json").write_text("{}")
    with pytest.raises(InputError, match=r"classes\.txt: a class file is for index PNGs"):
        open_labels(folders / "images", folders / "coco.json", folders / "classes.txt")


def test_taking_some(folders: Path) -> None:
    for number in range(5):
        picture(folders / "images" / f"{number}.jpg")
        label(folders / "labels" / f"{number}.png")
    labels = open_index_labels(folders / "images", folders / "labels", CLASSES)
    taken: list[LabelledImage] = list(labels.take(2).read())
    assert [image.path.name for image in taken] == ["0.jpg", "2.jpg"]
    assert list(next(labels.read(names=frozenset({"car"}))).masks) == []
