"""``cgsam segment --tile``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from cgsam_edge.segmenter import Segmenter
from cgsam_edge.tiling import tiff as tiff_module
from tests.commands import cgsam, fails

ENGINE = ("--backend", "onnxruntime", "--threads", "1")


def test_masks_of_tiles_are_written(reference: Segmenter, picture: np.ndarray, tmp_path: Path) -> None:
    """Two pictures: one in tiles, and one so small that it is taken as a whole; the third cannot be read."""
    Image.fromarray(picture).save(tmp_path / "big.png")
    Image.fromarray(picture[:400, :600]).save(tmp_path / "small.png")
    (tmp_path / "spoilt.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = cgsam(
        "segment", "big.png", "small.png", "spoilt.png", "--tile", "auto", "--overlap", "0.25", "--concepts", "car",
        "--output", "out", *ENGINE, cwd=tmp_path,
    )  # fmt: skip
    fails(done, 3, "spoilt.png")
    for name, array in (("big", picture), ("small", picture[:400, :600])):
        found = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        expected = reference.segment(array, "car", tile="auto", overlap=0.25)["car"]
        assert [found["width"], found["height"]] == [array.shape[1], array.shape[0]]
        np.testing.assert_array_equal(coco.decode(found["annotations"][0]["segmentation"]), expected.mask)
        assert (tmp_path / "out" / f"{name}.overlay.png").is_file()


def test_a_tiff_in_windows(picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rasterio", reason="windows of files need rasterio, the extra tiff")
    monkeypatch.setattr(tiff_module, "MAX_PIXELS", 100_000)
    monkeypatch.setattr(tiff_module, "OVERVIEW_SIDE", 512)
    Image.fromarray(picture).save(tmp_path / "map.tif")
    done = cgsam(
        "segment", "map.tif", "--tile", "512", "--overlap", "0", "--concepts", "car", "--output", "out", *ENGINE,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "map.json").read_text())
    assert [found["width"], found["height"]] == [1024, 1024]
    assert coco.decode(found["annotations"][0]["segmentation"]).shape == (1024, 1024)
    with Image.open(tmp_path / "out" / "map.overlay.png") as overlay:
        assert overlay.height == 512


def test_only_tiffs_may_have_any_size(tmp_path: Path) -> None:
    Image.new("1", (10_001, 10_000)).save(tmp_path / "big.png")
    done = cgsam("segment", "big.png", "--tile", "auto", "--concepts", "car", *ENGINE, cwd=tmp_path)
    fails(done, 3, "the limit is 100. Only TIFFs are read in tiles; convert it first, such as with gdal_translate")
    assert "if it is a TIFF" not in done.stderr
    assert "1 of 1 image could not be used" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--overlap", "0.5"], "--overlap is for tiles; give --tile too"),
        (["--tile", "auto", "--overlap", "1"], "--overlap: expected a number from 0 to 0.9, got '1'"),
        (["--tile", "64"], "tile must be 'auto' or a tile's side in pixels, 128 or more, got 64"),
        (["--tile", "auto", "--time-budget", "2"], "--time-budget ends after a concept, and --tile computes all"),
        (["--tile", "auto", "--concepts", "car", "--point", "3,4"], "--tile is for text alone"),
        (["--tile", "big"], "expected 'auto' or a number of pixels, got 'big'"),
    ],
)
def test_what_does_not_go_together(options: list[str], message: str, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    done = cgsam("segment", "a.png", *options, *ENGINE, cwd=tmp_path)
    fails(done, 3 if "or more" in message else 2, message)
    assert not (tmp_path / "a.json").exists()
