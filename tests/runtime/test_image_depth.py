"""Pictures with more than 8 bits a channel: one rule for files and arrays."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cgsam_edge import ImageError, InputError
from cgsam_edge.image import load_image

RNG = np.random.default_rng(0)
RGB12 = RNG.integers(0, 4096, (12, 20, 3), dtype=np.uint16)
GREY12 = RGB12[:, :, 0]
FULL = RNG.integers(0, 65536, (12, 20, 3), dtype=np.uint16)


def at_12_bits(values: np.ndarray) -> np.ndarray:
    """0 to 4095 become 0 to 255, to the nearest; halves do not occur, as 4095 is odd."""
    return np.round(values.astype(np.float64) * 255 / 4095)


def png(path: Path, pixels: np.ndarray, kind: int) -> None:
    """Write a PNG of 16 bits a channel by hand: Pillow cannot, and OpenCV knows no grey with alpha."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = pixels.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    )


def with_alpha(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, np.full(pixels.shape[:2], 65535, np.uint16)])


def netpbm(path: Path, pixels: np.ndarray, maxval: int) -> None:
    kind = b"P6" if pixels.ndim == 3 else b"P5"
    path.write_bytes(b"%s\n# by hand\n20 12\n%d\n" % (kind, maxval) + pixels.astype(">u2").tobytes())


def plain(path: Path, pixels: np.ndarray, maxval: int) -> None:
    numbers = "\n".join(" ".join(map(str, line)) for line in pixels.reshape(12, -1).tolist())
    path.write_text(f"P{3 if pixels.ndim == 3 else 2}\n20 12\n{maxval}\n{numbers}\n")


Write = Callable[[Path, np.ndarray], object]
WRITERS: dict[str, tuple[Write, np.ndarray]] = {
    "rgb.png": (lambda path, a: png(path, a, 2), RGB12),
    "rgba.png": (lambda path, a: png(path, with_alpha(a), 6), RGB12),
    "grey.png": (lambda path, a: png(path, a, 0), GREY12),
    "grey-alpha.png": (lambda path, a: png(path, with_alpha(a), 4), GREY12),
    "rgb.tif": (lambda path, a: cv2.imwrite(str(path), a[..., ::-1]), RGB12),
    "grey.tif": (lambda path, a: cv2.imwrite(str(path), a), GREY12),
    "int32.tif": (lambda path, a: Image.fromarray(a.astype(np.int32)).save(path), GREY12),
    "rgb.ppm": (lambda path, a: netpbm(path, a, 65535), RGB12),
    "grey.pgm": (lambda path, a: netpbm(path, a, 65535), GREY12),
    "plain.ppm": (lambda path, a: plain(path, a, 65535), RGB12),
}


def colour(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


@pytest.mark.parametrize("name", WRITERS)
def test_12_bits_in_a_file_for_16(tmp_path: Path, name: str) -> None:
    write, pixels = WRITERS[name]
    write(tmp_path / name, pixels)
    with pytest.raises(ImageError, match=rf"{name}: has (16|32) bits a channel, but .*--bits 12 \(in Python bits=12\)"):
        load_image(tmp_path / name)
    np.testing.assert_array_equal(load_image(tmp_path / name, bits=12), colour(at_12_bits(pixels)))
    np.testing.assert_array_equal(
        load_image(tmp_path / name, bits=16), colour(np.round(pixels.astype(float) * 255 / 65535))
    )
    with pytest.raises(ImageError, match=rf"{name}: holds values from \d+ to \d+; 10 bits go from 0 to 1023"):
        load_image(tmp_path / name, bits=10)


@pytest.mark.parametrize("name", ["rgb.png", "rgba.png", "rgb.tif", "rgb.ppm", "plain.ppm"])
def test_the_full_range_needs_no_word(tmp_path: Path, name: str) -> None:
    WRITERS[name][0](tmp_path / name, FULL)
    np.testing.assert_array_equal(load_image(tmp_path / name), np.round(FULL.astype(float) * 255 / 65535))


@pytest.mark.parametrize("write", [netpbm, plain])
def test_a_depth_that_the_file_states(tmp_path: Path, write: Callable[[Path, np.ndarray, int], None]) -> None:
    write(tmp_path / "rgb.ppm", RGB12, 4095)
    write(tmp_path / "grey.pgm", GREY12, 4095)
    np.testing.assert_array_equal(load_image(tmp_path / "rgb.ppm"), at_12_bits(RGB12))
    np.testing.assert_array_equal(load_image(tmp_path / "grey.pgm"), colour(at_12_bits(GREY12)))


def test_arrays_follow_the_same_rule() -> None:
    with pytest.raises(ImageError, match=r"the array: has 16 bits a channel, but its values go from .*--bits 12"):
        load_image(RGB12)
    np.testing.assert_array_equal(load_image(RGB12, bits=12), at_12_bits(RGB12))
    np.testing.assert_array_equal(load_image(with_alpha(RGB12), bits=12), at_12_bits(RGB12))
    np.testing.assert_array_equal(load_image(GREY12[:, :, None], bits=12), colour(at_12_bits(GREY12)))
    np.testing.assert_array_equal(load_image(RGB12.astype(np.float32), bits=12), at_12_bits(RGB12))
    np.testing.assert_array_equal(load_image(FULL), np.round(FULL.astype(float) * 255 / 65535))
    assert not np.asarray(load_image(np.zeros((4, 5), np.uint16))).any()  # black at any depth
    big = np.tile(GREY12, (60, 40))  # scaled a few rows at a time
    np.testing.assert_array_equal(load_image(big, bits=12), colour(at_12_bits(big)))


def test_floats_need_a_depth(tmp_path: Path) -> None:
    Image.fromarray(GREY12.astype(np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match=r"float\.tif: holds floats from .*bits=12"):
        load_image(tmp_path / "float.tif")
    np.testing.assert_array_equal(load_image(tmp_path / "float.tif", bits=12), colour(at_12_bits(GREY12)))
    spoilt = GREY12.astype(np.float32)
    spoilt[3, 4] = np.nan
    with pytest.raises(ImageError, match="the array: holds NaN or infinity"):
        load_image(spoilt, bits=12)
    with pytest.raises(ImageError, match="holds values from -1 to"):
        load_image(GREY12.astype(np.float32) - (GREY12.min() + 1), bits=12)


@pytest.mark.parametrize("bits", [8, 12])
def test_floats_from_0_to_1_are_not_black(bits: int) -> None:
    shares = (RGB12 / RGB12.max()).astype(np.float32)
    top = 2**bits - 1
    with pytest.raises(ImageError, match=f"the array: holds floats from .* to 1, .* multiply by {top}"):
        load_image(shares, bits=bits)
    np.testing.assert_array_equal(load_image(shares * top, bits=bits), np.floor(shares * 255 + 0.5))
    assert not np.asarray(load_image(np.zeros((4, 5), np.float32), bits=bits)).any(), "black"


def test_an_opened_image_is_the_file(tmp_path: Path) -> None:
    for name in ("rgb.png", "grey.png", "rgb.tif"):
        write, pixels = WRITERS[name]
        write(tmp_path / name, pixels)
        with Image.open(tmp_path / name) as image:
            np.testing.assert_array_equal(load_image(image, bits=12), colour(at_12_bits(pixels)))


def test_a_deep_page_of_a_tiff(tmp_path: Path) -> None:
    cv2.imwritemulti(str(tmp_path / "pages.tif"), [RGB12[..., ::-1] // 2, RGB12[..., ::-1]])
    np.testing.assert_array_equal(load_image(tmp_path / "pages.tif", bits=12, page=2), at_12_bits(RGB12))
    np.testing.assert_array_equal(load_image(tmp_path / "pages.tif", bits=12, page=1), at_12_bits(RGB12 // 2))


def test_8_bits_are_8_bits(tmp_path: Path) -> None:
    eight = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)
    Image.fromarray(eight).save(tmp_path / "eight.png")
    for source in (eight, tmp_path / "eight.png", Image.fromarray(eight)):
        np.testing.assert_array_equal(load_image(source, bits=12), eight)


def test_spoilt_deep_files(tmp_path: Path) -> None:
    for name in ("rgb.png", "rgb.tif", "rgb.ppm", "plain.ppm"):
        WRITERS[name][0](tmp_path / name, RGB12)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: 2 * len(data) // 3])
        with pytest.raises(ImageError, match=name):
            load_image(tmp_path / name, bits=12)


@pytest.mark.parametrize("bits", [7, 17, 12.0, "12", True])
def test_bits_that_are_none(bits: int) -> None:
    with pytest.raises(InputError, match="bits must be a whole number from 8 to 16, or None, got"):
        load_image(RGB12, bits=bits)
