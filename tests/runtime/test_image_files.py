"""Image files as cameras, telephones, other systems and accidents leave them."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from cgsam_edge import ImageError, InputError
from cgsam_edge.animation import Animation
from cgsam_edge.image import load_image, pixel_count

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)

UPRIGHT: dict[
    int, Callable[[np.ndarray], np.ndarray]
] = {  # by the EXIF standard: where the stored first row and column are
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


def with_orientation(path: Path, value: int) -> Path:
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[0x0112] = value
    options: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
    image.save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("value", UPRIGHT)
def test_path_and_opened_image_stand_upright(tmp_path: Path, suffix: str, value: int) -> None:
    path = with_orientation(tmp_path / f"turned{suffix}", value)
    expected = UPRIGHT[value](RGB)
    np.testing.assert_array_equal(loaded := load_image(path), expected)
    np.testing.assert_array_equal(load_image(loaded), expected)  # what stands upright is not turned again
    with Image.open(path) as lazy:
        np.testing.assert_array_equal(load_image(lazy), expected)
        np.testing.assert_array_equal(load_image(lazy), expected)  # now that it was loaded
        np.testing.assert_array_equal(load_image(lazy.convert("RGB")), expected)


@pytest.mark.parametrize(("suffix", "entry"), [(".png", "exif"), (".webp", "xmp"), (".png", "XML:com.adobe.xmp")])
def test_an_orientation_anywhere_in_the_metadata_counts_once(tmp_path: Path, suffix: str, entry: str) -> None:
    path, said = tmp_path / f"turned{suffix}", '<x:xmpmeta tiff:Orientation="6"/>'
    if entry == "exif":
        with_orientation(path, 6)
    elif entry == "xmp":
        Image.fromarray(RGB).save(path, xmp=said.encode(), lossless=True)
    else:
        held = PngImagePlugin.PngInfo()
        held.add_itxt(entry, said)
        Image.fromarray(RGB).save(path, pnginfo=held)
    with Image.open(path) as stored:
        assert entry in stored.info
    np.testing.assert_array_equal(loaded := load_image(path), UPRIGHT[6](RGB))
    np.testing.assert_array_equal(load_image(loaded), UPRIGHT[6](RGB))


def test_an_array_is_taken_as_it_stands(tmp_path: Path) -> None:
    with Image.open(with_orientation(tmp_path / "turned.png", 6)) as image:
        np.testing.assert_array_equal(load_image(np.asarray(image)), RGB)


def test_what_is_loaded_is_not_the_callers_image() -> None:
    image = Image.fromarray(RGB)
    loaded = load_image(image)
    image.paste((0, 0, 0), (0, 0, 20, 12))
    np.testing.assert_array_equal(loaded, RGB)


def exif_with(orientation: int, tag: int, kind: int, content: bytes) -> bytes:
    """Two entries of the first directory: the orientation, and another of any type."""
    first = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    second = struct.pack("<HHII", tag, kind, len(content), 38)
    return b"Exif\0\0II*\0\x08\0\0\0\x02\0" + first + second + b"\0\0\0\0" + content


@pytest.mark.parametrize(
    ("tag", "kind", "content"),
    [
        (0x011A, 2, b"72 dpi, they say\0"),  # ASCII where a rational belongs
        (0x9204, 2, b"not a number at all\0"),
        (0x0132, 5, struct.pack("<II", 1, 0)),  # a rational where a date belongs, of infinite size
        (0x8769, 2, b"no directory there\0"),
        (0x010E, 99, b"a type that nobody knows"),
    ],
)
def test_malformed_exif_does_not_matter(tmp_path: Path, tag: int, kind: int, content: bytes) -> None:
    path = tmp_path / "odd.jpg"
    Image.fromarray(RGB).save(path, quality=95, exif=exif_with(6, tag, kind, content))
    assert load_image(path).size == (12, 20)
    with Image.open(path) as image:
        assert load_image(image).size == (12, 20)


def test_exif_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "odd.png"
    Image.fromarray(RGB).save(path, exif=b"Exif\0\0XX no directory")
    with pytest.warns(UserWarning, match=r"odd\.png: its EXIF data cannot be read .*without rotation") as caught:
        np.testing.assert_array_equal(load_image(path), RGB)
    assert caught[0].filename == __file__


COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]


def pages(path: Path) -> Path:
    first, *others = [Image.new("RGB", (20, 12), colour) for colour in COLOURS]
    options: dict[str, Any] = {} if path.suffix == ".tif" else {"duration": [100, 40, 300]}
    if path.suffix == ".webp":
        options["lossless"] = True
    first.save(path, save_all=True, append_images=others, **options)
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_several_pictures_in_a_file(tmp_path: Path, suffix: str) -> None:
    path = pages(tmp_path / f"many{suffix}")
    every = "" if suffix == ".tif" else ", or --every 1"
    with pytest.warns(UserWarning, match=rf"many\{suffix}: holds 3 pictures, .*--page N \(in Python page=N\){every}"):
        assert load_image(path).getpixel((3, 3)) == COLOURS[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for page, colour in enumerate(COLOURS, 1):
            assert load_image(path, page=page).getpixel((3, 3)) == colour
        with Image.open(path) as image:
            image.seek(1)
            assert load_image(image).getpixel((3, 3)) == COLOURS[1]
    with pytest.raises(ImageError, match=rf"many\{suffix}: holds 3 pictures; there is no page 4"):
        load_image(path, page=4)


def test_pages_that_are_none(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "one.png")
    np.testing.assert_array_equal(load_image(tmp_path / "one.png", page=1), RGB)
    with pytest.raises(ImageError, match="holds one picture; there is no page 2"):
        load_image(tmp_path / "one.png", page=2)
    for page in (0, -1, 1.0, True, "1"):
        with pytest.raises(InputError, match="page must be a whole number, 1 or more"):
            load_image(tmp_path / "one.png", page=page)  # type: ignore[arg-type]
    for source in (RGB, Image.fromarray(RGB)):
        with pytest.raises(InputError, match="page is for files"):
            load_image(source, page=1)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_has_the_times_of_its_file(tmp_path: Path, suffix: str) -> None:
    path = pages(tmp_path / f"many{suffix}")
    animation = Animation(path)
    assert (animation.expected(), animation.clock_rate(), animation.fps) == (3, 25, None)
    frames = list(animation)
    assert [(f.number, f.seconds, f.duration) for f in frames] == [(0, 0, 0.1), (1, 0.1, 0.04), (2, 0.14, 0.3)]
    assert [tuple(f.image[3, 3]) for f in frames] == COLOURS
    second = list(Animation(path, every=2))
    assert [(f.number, f.seconds, f.duration) for f in second] == [(0, 0, 0.14), (2, 0.14, 0.3)]


def test_what_is_no_animation(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "one.gif")
    for path in (tmp_path / "one.gif", pages(tmp_path / "many.tif")):
        with pytest.raises(ImageError, match="not an animation"):
            Animation(path)
    with pytest.raises(InputError, match="every must be a whole number, 1 or more, got 0"):
        Animation(tmp_path / "one.gif", every=0)


def test_bad_files(tmp_path: Path) -> None:
    Image.fromarray(RGB).resize((400, 300)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:900])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "._photo.png").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    Image.fromarray(RGB[:1, :1]).save(tmp_path / "dot.png")
    Image.new("1", (10_001, 10_000)).save(tmp_path / "huge.png")
    Image.new("1", (20_000, 10_000)).save(tmp_path / "bomb.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    messages = {
        "cut.jpg": "corrupt, truncated or unreadable .*truncated",
        "empty.png": r"an empty file \(0 bytes\)",
        "text.jpg": "not an image that Pillow can read",
        "._photo.png": "not an image, but metadata that macOS stores next to one",
        "dot.png": "1x1 pixels",
        "huge.png": "10001x10000 is 100.01 megapixels; the limit is 100",
        "bomb.png": "over 100 megapixels",
        "missing.png": "no such file",
        "folder.png": "a folder, not an image",
        "link.png": "a link to 'nowhere.png', which does not exist",
        "pipe.png": "not a file, but a pipe",
    }
    for name, message in messages.items():
        with pytest.raises(ImageError, match=message) as caught:
            load_image(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert pixel_count(tmp_path / name) == (120_000 if name == "cut.jpg" else 0)


@contextmanager
def powerless() -> Iterator[None]:
    """Be somebody whom permissions bind: tests often run as root."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(os.name != "posix", reason="permissions of files are POSIX's")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    Image.fromarray(RGB).save(path)
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    with powerless(), pytest.raises(ImageError, match=r"secret\.png: no permission to read it"):
        load_image(path)


def test_whatever_a_decoder_raises_names_the_file(tmp_path: Path) -> None:
    """Each byte of a small file's head changed in turn: read, or refused by name, and nothing else."""
    good = tmp_path / "good.tif"
    Image.fromarray(RGB).save(good, compression="tiff_lzw", tiffinfo=TiffImagePlugin.ImageFileDirectory_v2())
    data, refused = bytearray(good.read_bytes()), 0
    path = tmp_path / "spoilt.tif"
    for place in (*range(16), *range(len(data) - 150, len(data))):
        spoilt = bytearray(data)
        spoilt[place] ^= 0xFF
        path.write_bytes(spoilt)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                load_image(path)
        except ImageError as error:
            assert "spoilt.tif: " in str(error)  # noqa: PT017 — most of them are refused, some are read
            refused += 1
    assert refused > 30
