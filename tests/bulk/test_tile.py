"""``cgsam label --tile``: the labels of tiles, and no other tile in the same run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.bulk.job import run
from cgsam_edge.bulk.worker import Labeller
from cgsam_edge.cli import main
from cgsam_edge.datasets import labelled
from cgsam_edge.errors import InputError, OutputError
from cgsam_edge.quality.scenes.__main__ import write_scenes
from cgsam_edge.tiling import tiff as tiff_module
from tests.bulk.conftest import job, recipe
from tests.datasets.test_outlines import refuse

TILES = {"tile": 128, "overlap": 0.25}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 3, range(2), 384, 256)
    return folder / "images"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures of two tiles."""
    folder = tmp_path_factory.mktemp("small")
    write_scenes(folder, 3, range(2), 192, 128)
    return folder / "images"


@pytest.fixture(scope="module")
def tiled(small: Path, own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("tiled") / "run"
    assert run(job(small, output, recipe=recipe(**TILES))).pictures == 2
    return output


@pytest.mark.slow
def test_labels_are_those_of_tiles(tiled: Path, small: Path) -> None:
    data = json.loads((tiled / "coco/annotations/instances_default.json").read_text())
    areas = {one["file_name"]: [a["area"] for a in data["annotations"] if a["image_id"] == one["id"]]
             for one in data["images"]}  # fmt: skip
    with Segmenter(backend="onnxruntime", threads=1) as segmenter:
        for name in ("scene_003_00000.png", "scene_003_00001.png"):
            result = segmenter.segment(small / name, ["road", "car"], tile=128, overlap=0.25)
            whole = segmenter.segment(small / name, ["road", "car"])
            assert areas[name] == [one.area for one in labelled(name, result).objects]
            assert areas[name] != [one.area for one in labelled(name, whole).objects]


def test_the_manifest_and_the_run_name_the_tiles(tiled: Path) -> None:
    (maker,) = json.loads((tiled / "manifest.json").read_text())["makers"].values()
    assert {name: maker[name] for name in TILES} == TILES
    kept = json.loads((tiled / "run.json").read_text())
    assert {name: kept[name] for name in TILES} == TILES


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({}, r"differs in --tile \(128 there, none now\)\."),
        ({"tile": 256, "overlap": 0.25}, r"differs in --tile \(128 there, 256 now\)"),
        ({"tile": 128}, r"differs in --overlap \(0.25 there, 0.5 now\)"),
        (
            {"tile": 256, "overlap": 0.5},
            r"differs in --tile \(128 there, 256 now\), --overlap \(0.25 there, 0.5 now\)\.",
        ),
    ],
)
def test_another_tile_is_another_run(other: dict[str, object], words: str, tiled: Path, small: Path) -> None:
    with pytest.raises(OutputError, match=words):
        run(job(small, tiled, recipe=recipe(**other)))


def test_a_run_of_before_has_no_tiles(done: Path, streets: Path) -> None:
    with pytest.raises(OutputError, match=r"differs in --tile \(none there, 128 now\)\."):
        run(job(streets, done, recipe=recipe(**TILES)))


def test_options_are_checked_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["label", "photos", "--to", "coco", "--output", str(tmp_path / "run")]
    for more, code, words in (
        (["--overlap", "0.5"], 2, "--overlap is for tiles; give --tile too, or leave it out."),
        (["--tile", "64"], 3, "tile must be 'auto' or a tile's side in pixels, 128 or more, got 64"),
    ):
        assert main([*command, *more]) == code
        assert words in capsys.readouterr().err
    with pytest.raises(InputError, match="overlap is for tiles"):
        recipe(overlap=0.5).checked()
    assert not (tmp_path / "run").exists()


def test_without_the_library_a_big_tiff_is_an_error_and_the_others_are_labelled(
    scenes: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.open(scenes / "scene_003_00000.png").save(tmp_path / "map.tif")
    labeller = Labeller(recipe(tile=256, overlap=0.0).checked())
    monkeypatch.setattr(tiff_module, "MAX_PIXELS", 90_000)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    big = labeller.label({"name": "map.tif", "path": str(tmp_path / "map.tif")})
    other = labeller.label({"name": "a.png", "path": str(scenes / "scene_003_00001.png")})
    labeller.close()
    assert (big.label, other.error) == ("", "")
    assert "map.tif: over 0 megapixels; reading it in windows needs rasterio: pip install" in big.error


def test_a_tiff_that_is_too_big_to_load_is_read_in_windows(
    scenes: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same labels as those of the picture in memory."""
    pytest.importorskip("rasterio", reason="the extra 'tiff' is not installed")
    Image.open(scenes / "scene_003_00000.png").save(tmp_path / "map.tif")
    labeller = Labeller(recipe(tile=256, overlap=0.0).checked())
    loaded = labeller.label({"name": "map.tif", "path": str(tmp_path / "map.tif")})
    monkeypatch.setattr(tiff_module, "MAX_PIXELS", 90_000)
    monkeypatch.setattr("cgsam_edge.bulk.worker.read_bytes", refuse)
    windows = labeller.label({"name": "map.tif", "path": str(tmp_path / "map.tif")})
    labeller.close()
    assert (windows.error, windows.label) == ("", loaded.label)
    assert json.loads(windows.label)["objects"]
