"""Windows of TIFFs, written with rasterio as such pictures are."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from cgsam_edge.errors import ImageError, InputError, MissingLibraryError
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.tiling import PictureWindows, open_windows
from cgsam_edge.tiling import tiff as tiff_module
from cgsam_edge.tiling.tiff import TiffWindows, needs_windows, tags_of
from cgsam_edge.tiling.windows import tile_image

rasterio = pytest.importorskip("rasterio", reason="windows of files need rasterio, the extra tiff")


@pytest.fixture
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures over 0.1 megapixels are read in windows."""
    monkeypatch.setattr(tiff_module, "MAX_PIXELS", 100_000)


def write(path: Path, pixels: np.ndarray, **more: Any) -> Path:
    """Write (H, W) or (H, W, bands)."""
    bands = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    form = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate", **more}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=bands.shape[2],
        height=bands.shape[1],
        count=len(bands),
        dtype=pixels.dtype,
        **form,
    ) as file:
        file.write(bands)
    return path


@pytest.mark.usefixtures("low_limit")
def test_windows_and_a_loaded_picture_give_the_same_masks(
    reference: Segmenter, picture: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "scene.tif", picture, photometric="RGB")
    loaded, read = (reference.segment(source, "car", tile="auto", overlap=0) for source in (picture, str(path)))
    for one in loaded.values():
        np.testing.assert_array_equal(read[one.name].mask, one.mask)
        assert read[one.name].presence == one.presence
    np.testing.assert_array_equal(np.asarray(read.image), picture)


@pytest.mark.slow
def test_a_picture_over_the_limit(reference: Segmenter, picture: np.ndarray, tmp_path: Path) -> None:
    """10,240 pixels square: only its overview is in memory, and each window is what the file has there."""
    big = cv2.resize(picture, (10_240, 10_240), interpolation=cv2.INTER_NEAREST)
    path = write(tmp_path / "big.tif", big, photometric="RGB", blockxsize=512, blockysize=512)
    with pytest.raises(
        ImageError, match=r"104\.86 megapixels; the limit is 100\. Scale it down first, or, if it is a TIFF"
    ):
        reference.segment(path, "car")
    with open_windows(path) as windows:
        assert windows.size == (10_240, 10_240)
        np.testing.assert_array_equal(windows.read(5000, 9000, 700, 300), big[9000:9300, 5000:5700])
        view = np.asarray(windows.overview())
        expected = cv2.resize(big, (4096, 4096), interpolation=cv2.INTER_AREA)
        assert np.abs(view.astype(int) - expected).mean() < 1
    found = reference.segment(path, ["road", "car"], tile=5120, overlap=0)
    with pytest.raises(InputError, match=r"big\.tif: a tile of 12032 pixels is larger than the 10240x10240 picture"):
        reference.segment(path, ["road"], tile=12_000)
    small = reference.segment(picture, ["road", "car"], tile=512, overlap=0)
    assert found.image_size == (10_240, 10_240)
    assert found.image.size == (4096, 4096)
    for one in found.values():
        width, height = one.image_size
        assert one.rle()["size"] == [height, width]
        wide = small[one.name].area * 100
        assert abs(one.area - wide) < 0.05 * wide
        assert (one.points <= 10_240).all()
        assert one.points.max() > 1024
        with pytest.raises(InputError, match=r"10240x10240 logits would take 0\.4 GB; the limit is 100"):
            one.full_logits()
    assert found.overlay().height == 4096
    for made in (found.blurred, found.cutout):
        with pytest.raises(InputError, match=r"10240x10240 pixels that was read in windows cannot be .* 4096x4096"):
            made("car")


def test_kinds_of_pixels(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (300, 200), dtype=np.uint8)
    with TiffWindows(str(write(tmp_path / "grey.tif", grey))) as windows:
        found = windows.read(3, 4, 50, 60)
        assert found.shape == (60, 50, 3)
        np.testing.assert_array_equal(found, np.repeat(grey[4:64, 3:53, None], 3, axis=2))
    deep = grey.astype(np.uint16) * 16
    path = str(write(tmp_path / "deep.tif", np.stack([deep, deep // 2, deep // 4], axis=2), photometric="RGB"))
    with TiffWindows(path, bits=12) as windows:
        found = windows.read(0, 0, 200, 300)
        assert np.abs(found[..., 0].astype(int) - grey).max() <= 1
        assert np.abs(found[..., 1].astype(int) * 2 - grey).max() <= 2
    with pytest.raises(ImageError, match=r"deep\.tif: has pixels of type uint16; expected 8 bits, or 16 with bits="):
        TiffWindows(path)
    with pytest.raises(ImageError, match=r"float\.tif: has pixels of type float32"):
        TiffWindows(str(write(tmp_path / "float.tif", grey.astype(np.float32))), bits=12)
    alpha = write(tmp_path / "alpha.tif", np.dstack([np.stack([grey] * 3, axis=2), 255 - grey]), photometric="RGB")
    with TiffWindows(str(alpha)) as windows:
        np.testing.assert_array_equal(windows.read(0, 0, 200, 300)[..., 2], grey)


def test_what_windows_cannot_undo_is_refused(tmp_path: Path) -> None:
    turned = tmp_path / "turned.tif"
    Image.new("RGB", (40, 30)).save(turned, tiffinfo={274: 6})
    with pytest.raises(ImageError, match="stored turned or mirrored"):
        TiffWindows(str(turned))
    palette = tmp_path / "palette.tif"
    Image.new("P", (40, 30)).save(palette)
    with pytest.raises(ImageError, match="1 bands with TIFF's photometric interpretation 3; expected RGB or one band"):
        TiffWindows(str(palette))
    inverted = write(tmp_path / "inverted.tif", np.zeros((300, 200), np.uint8), photometric="MINISWHITE")
    with pytest.raises(ImageError, match="1 bands with TIFF's photometric interpretation 0"):
        TiffWindows(str(inverted))
    inks = tmp_path / "inks.tif"
    Image.new("CMYK", (40, 30)).save(inks)
    with pytest.raises(ImageError, match="4 bands with TIFF's photometric interpretation 5"):
        TiffWindows(str(inks))
    bands = write(tmp_path / "bands.tif", np.zeros((300, 200, 5), np.uint8), photometric="MINISBLACK")
    with pytest.raises(
        ImageError, match=r"5 bands with TIFF's photometric interpretation 1; .*gdal_translate -b 1 -b 2"
    ):
        TiffWindows(str(bands))


def test_one_block_for_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_module, "_BLOCK_BYTES", 60_000)
    path = write(tmp_path / "strip.tif", np.zeros((300, 210), np.uint8), tiled=False, blockxsize=None, blockysize=300)
    with pytest.raises(ImageError, match=r"in blocks of 210x300 pixels, 0 MB each; .* gdal_translate -co TILED=YES"):
        TiffWindows(str(path))


def test_a_page_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    first, second = (Image.fromarray(np.full((30, 40), value, np.uint8)) for value in (10, 200))
    first.save(path, save_all=True, append_images=[second.resize((50, 60))])
    with TiffWindows(str(path), page=2) as windows:
        assert windows.size == (50, 60)
        assert windows.read(0, 0, 50, 60).min() == 200
    assert tags_of(path, 2)[256] == 50
    with TiffWindows(str(path)) as windows:
        assert windows.read(0, 0, 40, 30).max() == 10
    with pytest.raises(ImageError, match=r"pages\.tif: corrupt, truncated or unreadable"):
        TiffWindows(str(path), page=3)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    path = write(tmp_path / "cut.tif", noise, photometric="RGB")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with (
        pytest.raises(ImageError, match=r"cut\.tif: corrupt, truncated or unreadable"),
        TiffWindows(str(path)) as windows,
    ):
        windows.read(0, 0, 600, 600)


@pytest.mark.usefixtures("low_limit")
def test_without_rasterio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "big.tif", np.zeros((400, 400), np.uint8))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'cgsam-edge\[tiff\]'"):
        open_windows(path)


@pytest.mark.parametrize("big", ["NO", "YES"], ids=["classic", "BigTIFF"])
@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
def test_a_header_is_read(tmp_path: Path, big: str, order: str) -> None:
    path = write(tmp_path / "a.tif", np.zeros((300, 200), np.uint8), BIGTIFF=big, ENDIANNESS=order)
    tags = tags_of(path, 1)
    assert (tags[256], tags[257]) == (200, 300)
    assert tags_of(path, 2) == {}
    assert not needs_windows(str(path))


def test_what_is_no_tiff_is_loaded(tmp_path: Path) -> None:
    for name, content in (("a", b""), ("b", b"II*\0"), ("c", struct.pack("<2sHI8x", b"II", 42, 9999))):
        (tmp_path / name).write_bytes(content)
        assert not needs_windows(str(tmp_path / name))
    assert not needs_windows(str(tmp_path / "missing"))
    Image.new("RGB", (30, 20)).save(tmp_path / "small.png")
    with open_windows(tmp_path / "small.png") as windows:
        assert isinstance(windows, PictureWindows)
        assert windows.size == (30, 20)


def test_a_tile_beyond_the_edge_is_mirrored() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    windows = PictureWindows(Image.fromarray(pixels))
    found = np.asarray(tile_image(windows, 3, 0, 8))
    np.testing.assert_array_equal(found[:5, :6], pixels[:, 3:])
    np.testing.assert_array_equal(found[:5, 6], pixels[:, 7])
    np.testing.assert_array_equal(found[5, :6], pixels[3, 3:])
    assert np.asarray(tile_image(windows, 0, 0, 40)).shape == (40, 40, 3)
