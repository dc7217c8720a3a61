"""``cgsam eval --tile``: the accuracy of masks that are made in tiles."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.errors import InputError
from cgsam_edge.quality.evaluate import evaluate
from cgsam_edge.quality.label_prompts import LabelPrompting
from cgsam_edge.quality.labels import LabelledImage, Remarks
from cgsam_edge.quality.scenes import CONCEPTS
from cgsam_edge.quality.scenes.__main__ import write_scenes
from cgsam_edge.tiling import TiledResult, TileOptions
from tests.commands import cgsam, fails

TILES = TileOptions(128, 0.25)

ENGINE = ("--backend", "onnxruntime", "--threads", "1")
"""An engine that is named is not looked for, which would take seconds."""


@pytest.fixture(scope="module")
def scenes(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 3, range(1), 192, 128)
    (folder / "classes.txt").write_text("\n".join([*CONCEPTS, "ignore: 255"]))
    return folder


def test_pairs_are_those_of_the_masks_of_tiles(scenes: Path) -> None:
    (path,) = (scenes / "images").iterdir()
    indices = np.asarray(Image.open(scenes / "labels" / path.name))
    names = ["car", "road"]
    truth = {name: indices == CONCEPTS.index(name) for name in names}
    image = LabelledImage(path, truth, indices != 255)
    with Segmenter(backend="onnxruntime", threads=1) as segmenter:
        done = evaluate(segmenter, [image], names, tiles=TILES)
        whole = evaluate(segmenter, [image], names)
        result = segmenter.segment(path, names, skip_absent=False, tile=128, overlap=0.25)
        as_whole = evaluate(segmenter, [image], names, tiles=TileOptions(256))
        with pytest.raises(InputError, match="tiles are for text alone"):
            evaluate(segmenter, [image], names, prompting=LabelPrompting("clicks"), tiles=TILES)
    assert isinstance(result, TiledResult)
    for pair in done.pairs:
        mask = result[pair.concept].mask
        joined = ((mask | truth[pair.concept]) & image.valid).sum()
        assert pair.iou == pytest.approx((mask & truth[pair.concept] & image.valid).sum() / joined)
        assert pair.presence == result[pair.concept].presence
        assert pair.ruled_out is (pair.concept in result.ruled_out)
    assert [pair.iou for pair in done.pairs] != [pair.iou for pair in whole.pairs]
    assert (done.tile, done.overlap, whole.tile) == (128, 0.25, None)
    assert as_whole.pairs == whole.pairs, "an image that is no larger than a tile is taken whole"


def test_without_the_library_a_big_tiff_is_left_out(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = (scenes / "images").iterdir()
    Image.open(path).save(tmp_path / "map.tif")
    image = LabelledImage(tmp_path / "map.tif", {"car": np.zeros((128, 192), bool)}, np.ones((128, 192), bool))
    monkeypatch.setattr("cgsam_edge.tiling.tiff.MAX_PIXELS", 10_000)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    remarks = Remarks()
    with Segmenter(backend="onnxruntime", threads=1) as segmenter, pytest.raises(InputError, match="no labelled image"):
        evaluate(segmenter, [image], ["car"], tiles=TILES, remarks=remarks)
    assert "reading it in windows needs rasterio" in remarks.left_out[0]


@pytest.mark.slow
def test_what_is_skipped_is_what_is_ruled_out(scenes: Path) -> None:
    (path,) = (scenes / "images").iterdir()
    with Segmenter(backend="onnxruntime", threads=1) as segmenter:
        every = segmenter.segment(path, skip_absent=False, tile=128, overlap=0)
        fewer = segmenter.segment(path, tile=128, overlap=0)
    assert isinstance(every, TiledResult)
    assert isinstance(fewer, TiledResult)
    assert every.ruled_out == fewer.ruled_out == {one.name for one in fewer.values() if one.skipped}


@pytest.mark.slow
def test_the_command_says_which_tiles(scenes: Path) -> None:
    options = ["--images", "images", "--labels", "labels", "--classes", "classes.txt", *ENGINE]
    done = cgsam("eval", *options, "--tile", "128", "--overlap", "0.25", "--output", "out", cwd=scenes)
    assert done.returncode == 0, done.stderr
    assert "1 image, text, tiles of 128 with overlap 0.25: class mIoU" in done.stdout
    document = json.loads((scenes / "out/eval.json").read_text())
    assert (document["tile"], document["tile_side"], document["overlap"]) == (128, 128, 0.25)
    assert (scenes / "out/contact-sheet.png").is_file()


def test_the_command_says_which_tiles_it_chose(scenes: Path) -> None:
    options = ["--images", "images", "--labels", "labels", "--classes", "classes.txt", *ENGINE]
    done = cgsam("eval", *options, "--tile", "auto", "--output", "chosen", cwd=scenes)
    assert done.returncode == 0, done.stderr
    assert "1 image, text, tiles of 512 with overlap 0.5: class mIoU" in done.stdout
    document = json.loads((scenes / "chosen/eval.json").read_text())
    assert (document["tile"], document["tile_side"]) == ("auto", 512)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--overlap", "0.5"], "--overlap is for tiles; give --tile too, or leave it out."),
        (["--tile", "auto", "--mode", "clicks"], "--tile is for text alone; with --mode clicks, leave it out."),
        (["--clicks", "3"], "--clicks is for --mode clicks; give that too, or leave it out."),
        (["--tile", "64"], "tile must be 'auto' or a tile's side in pixels, 128 or more, got 64"),
    ],
)
def test_what_does_not_go_together(more: list[str], words: str, scenes: Path) -> None:
    options = ["--images", "images", "--labels", "labels", "--classes", "classes.txt", *ENGINE]
    fails(cgsam("eval", *options, *more, cwd=scenes), 3 if "or more" in words else 2, words)
