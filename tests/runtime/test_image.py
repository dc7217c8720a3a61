"""Images in their three forms, and those that are refused."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cgsam_edge import Segmenter, image_resize
from cgsam_edge.errors import ImageError
from cgsam_edge.image import load_image, to_pixels
from cgsam_edge.image_resize import in_bands
from cgsam_edge.runtimes.protocol import SessionOptions

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def test_three_forms_are_one(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    for source in (RGB, Image.fromarray(RGB), tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(np.asarray(load_image(source)), RGB)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_other_modes_become_rgb(mode: str) -> None:
    image = load_image(Image.fromarray(RGB).convert(mode))
    assert (image.mode, image.size) == ("RGB", (20, 12))


def test_arrays_of_one_and_four_channels() -> None:
    grey = np.repeat(RGB[:, :, :1], 3, axis=2)
    for array in (RGB[:, :, 0], RGB[:, :, :1]):
        np.testing.assert_array_equal(np.asarray(load_image(array)), grey)
    alpha = np.concatenate([RGB, RGB[:, :, :1]], axis=2)
    np.testing.assert_array_equal(np.asarray(load_image(alpha)), RGB)


SIX = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
"""An EXIF entry: orientation 6."""


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    ("entries", "turned"),
    [
        ([SIX, struct.pack(">HHI4s", 0x011A, 2, 4, b"72")], True),  # text where a fraction belongs
        ([SIX, struct.pack(">HHI4s", 0x829A, 2, 4, b"1/60")], True),
        ([SIX, struct.pack(">HHIf", 0x0100, 11, 1, float("nan"))], True),
        ([SIX, struct.pack(">HHII", 0x010F, 2, 500, 0xFFFF)], True),  # cut off
        ([struct.pack(">HHIHH", 0x0112, 3, 2, 6, 6)], True),
        ([struct.pack(">HHI4s", 0x0112, 2, 2, b"6")], False),
        ([struct.pack(">HHIHH", 0x0112, 3, 1, 99, 0)], False),
        ([struct.pack(">HHIHH", 0x0112, 3, 1, 0, 0)], False),
        ([b"\xff" * 12], False),
        ([b"\xff" * 5], False),
    ],
)
def test_malformed_exif_is_no_reason_to_lose_a_photo(tmp_path: Path, entries: list[bytes], turned: bool) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + b"".join(entries) + bytes(4)
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").size == ((12, 20) if turned else (20, 12))


def test_pixels_are_pillows_resize() -> None:
    pixels = to_pixels(Image.fromarray(RGB), 64)
    assert pixels.shape == (1, 3, 64, 64)
    assert pixels.dtype == np.float32
    expected = np.asarray(Image.fromarray(RGB).resize((64, 64), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(pixels[0].transpose(1, 2, 0), expected)


@pytest.mark.parametrize("size", [48, 333, 512])
@pytest.mark.parametrize("shape", [(2, 900), (900, 3), (601, 800), (1024, 1024), (300, 200), (1279, 97)])
def test_bands_give_the_bytes_of_one_call(shape: tuple[int, int], size: int) -> None:
    """Of Pillow itself, at sizes that grow and shrink, and whose bands are uneven or fewer than the threads."""
    picture = Image.fromarray(np.random.default_rng(3).integers(0, 256, (*shape, 3), dtype=np.uint8))
    rows = picture.resize((size, picture.height), Image.Resampling.BILINEAR)
    expected = np.asarray(rows.resize((size, size), Image.Resampling.BILINEAR)).transpose(2, 0, 1)[None]
    for count in (2, 3, 7):
        found = in_bands(picture, size, count)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


def test_large_pictures_alone_take_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(image_resize, "in_bands", lambda image, _, count: taken.append((image.size, count)))
    for width, threads in ((1024, 1), (1023, 8), (1024, 8), (2048, 8), (2048, 3)):
        to_pixels(Image.new("RGB", (width, 1024)), 64, threads)
    assert taken == [((1024, 1024), 2), ((2048, 1024), 4), ((2048, 1024), 3)]


@pytest.mark.parametrize(("performance", "expected"), [("latency", 3), ("throughput", 1), ("low-power", 3)])
def test_a_segmenter_takes_no_more_threads_than_it_may(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, performance: str, expected: int
) -> None:
    taken = []

    def squash(image: Image.Image, size: int, threads: int) -> NDArray[np.float32]:
        taken.append(threads)
        return np.zeros((1, 3, size, size), np.float32)

    monkeypatch.setattr("cgsam_edge.image.squash", squash)
    with Segmenter(tiny_bundle, backend="onnxruntime", device="cpu", threads=3, performance=performance) as segmenter:
        segmenter.prepare(RGB)
    assert taken == [expected]


@pytest.mark.parametrize(("performance", "expected"), [("latency", 6), ("throughput", 1), ("low-power", 3)])
def test_without_a_number_of_threads_all_cores_prepare(
    monkeypatch: pytest.MonkeyPatch, performance: str, expected: int
) -> None:
    monkeypatch.setattr("cgsam_edge.runtimes.protocol.cores", lambda: 6)
    assert SessionOptions(performance=performance).picture_threads == expected


FORK = """
import os
from PIL import Image
from cgsam_edge.image_resize import in_bands

def resize():
    return in_bands(Image.new("RGB", (50, 40), (1, 2, 3)), 16, 3)

assert resize().sum() == 16 * 16 * 6
child = os.fork()
if child == 0:
    os._exit(0 if resize().sum() == 16 * 16 * 6 else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_has_threads_too() -> None:
    """The parent's are not in it, and waiting for them would never end."""
    assert subprocess.run([sys.executable, "-c", FORK], timeout=60, check=False).returncode == 0


AT_EXIT = """
import threading
from PIL import Image
from cgsam_edge.image_resize import in_bands

def work():
    threading.main_thread().join()
    total = in_bands(Image.new("RGB", (50, 40), (1, 2, 3)), 16, 3).sum()
    print(total == 16 * 16 * 6)

threading.Thread(target=work).start()
"""


def test_a_thread_that_outlives_the_main_one_resizes_alone() -> None:
    """No pool takes work then; the bands are computed one after the other."""
    done = subprocess.run([sys.executable, "-c", AT_EXIT], timeout=60, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("True", "")


def test_a_system_that_grants_no_thread_still_resizes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    picture = Image.fromarray(RGB)
    expected = in_bands(picture, 8, 3)
    image_resize._pool.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    np.testing.assert_array_equal(in_bands(picture, 8, 3), expected)
    image_resize._pool.cache_clear()


def test_a_large_picture_is_copied_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[tuple[int, int, int, int]] = []
    crop = Image.Image.crop

    def noted(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
        copied.append(box)
        return crop(image, box)

    monkeypatch.setattr(Image.Image, "crop", noted)
    in_bands(Image.new("RGB", (2048, 2000)), 16, 2)
    pieces = [bottom - top for left, top, right, bottom in copied if right - left == 2048]
    assert sum(pieces) == 2000
    assert max(pieces) * 2048 <= image_resize.BAND_PIXELS


def test_an_error_of_another_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Image.Image.resize

    def resize(image: Image.Image, size: tuple[int, int], *given: Any) -> Image.Image:
        if size[1] == 700:  # the second of three bands
            raise MemoryError
        return whole(image, size, *given)

    monkeypatch.setattr(Image.Image, "resize", resize)
    with pytest.raises(MemoryError):
        in_bands(Image.new("RGB", (40, 2099)), 64, 3)


def weights(before: int, after: int) -> NDArray[np.float64]:
    """The antialiased bilinear filter along one side, (after, before): a triangle as wide as the side shrinks."""
    scale = before / after
    centres, places = (np.arange(after)[:, None] + 0.5) * scale, np.arange(before)[None] + 0.5
    found = np.maximum(0, 1 - np.abs(places - centres) / max(scale, 1))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("shape", [(180, 7), (60, 50), (50, 60)])
def test_rows_are_squashed_first_whatever_pillow_does(shape: tuple[int, int]) -> None:
    """Pillow 13 takes columns first in the first two; the order shows in the rounding to 8 bits between the passes."""
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = to_pixels(Image.fromarray(picture), 48)[0].transpose(1, 2, 0)
    rows_first = squashed(squashed(picture, 1, 48), 0, 48)
    columns_first = squashed(squashed(picture, 0, 48), 1, 48)
    assert (found != rows_first).mean() < 0.05  # ties of the rounding alone
    assert (found != columns_first).mean() > 0.15


def squashed(picture: NDArray[Any], axis: int, side: int) -> NDArray[Any]:
    """One pass of the filter, rounded to whole numbers."""
    moved = np.moveaxis(picture.astype(float), axis, 0)
    sums = np.tensordot(weights(len(moved), side), moved, axes=1)
    return np.moveaxis(np.floor(sums + 0.5), 0, axis)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (RGB.astype(np.float32) / 255, "the array: holds floats from 0 to 1, .*multiply by 255"),
        (RGB.astype(np.int64), "must be uint8 .*got int64"),
        (RGB > 9, "got bool"),
        (RGB[:, :, :2], r"got \(12, 20, 2\)"),
        (RGB[None], r"got \(1, 12, 20, 3\)"),
        (RGB[:1, :1], "1x1 pixels; expected at least 2"),
        (RGB[:0], "20x0 pixels"),
        (np.broadcast_to(RGB[:1, :1], (10_001, 10_000, 3)), "100.01 megapixels; the limit is 100"),
    ],
)
def test_bad_arrays(array: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        load_image(array)


def test_other_types() -> None:
    with pytest.raises(ImageError, match=r"a PIL image, or an array: RGB, RGBA or grey, uint8 or uint16.*; got list"):
        load_image([[1, 2]])
    with pytest.raises(ImageError, match="path is empty"):
        load_image("")


def test_the_content_of_a_file_is_not_a_path(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "photo.png")
    content = (tmp_path / "photo.png").read_bytes()
    for wrong in (content, b"P6 " * 5000, bytearray(content), io.BytesIO(content)):
        with pytest.raises(ImageError, match=r"PIL\.Image\.open\(io\.BytesIO") as caught:
            load_image(wrong)
        assert len(str(caught.value)) < 300
    assert load_image(os.fsencode(tmp_path / "photo.png")).size == (20, 12)
