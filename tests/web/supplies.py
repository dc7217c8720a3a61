"""What the tests of `web/` need from Python: ``python -m tests.web.supplies`` writes it into the built page.

The bundles and the sample lie beside the page. `web/tests/data` gets pictures, their pixels as Pillow reads them, and
the masks of the shipped model, which no file of the repository holds: they change with the model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from cgsam_edge.bundle import Bundle
from cgsam_edge.image import load_image
from cgsam_edge.pack import pack
from cgsam_edge.quality.demo import choice, demo_scene
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.shipped import BUNDLE

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
BUNDLES = {"tiny.zip": ROOT / "training" / "checkpoints" / "tiny.cgsam", "bundle.zip": BUNDLE}
"""By the names that `web/page/models.json` lists."""

_DOUBT = 0.02
"""A score of presence so near to its threshold could fall on the other side elsewhere."""

_TURNED = 6
"""An EXIF orientation that swaps the sides."""


def write(page: Path, data: Path) -> None:
    """Write all files.

    Args:
        page: the folder of the built page.
        data: the folder of the tests' data.
    """
    data.mkdir(parents=True, exist_ok=True)
    for name, path in BUNDLES.items():
        pack(Bundle(path), page / name)
    chosen = choice()
    scene = Image.fromarray(demo_scene(chosen.series, chosen.scene).image)
    scene.save(page / "sample.png")
    _dump(data / "page.json", {"states": {name: _states(path, scene) for name, path in BUNDLES.items()}})
    with Segmenter(backend="onnxruntime", device="cpu") as segmenter:
        masks = {name: _masks(segmenter, path) for name, path in _pictures(scene, data).items()}
    _dump(data / "masks.json", masks)


def _pictures(scene: Image.Image, data: Path) -> dict[str, Path]:
    """Write pictures as cameras and programs do, each with its pixels beside it, and return their paths."""
    wide = scene.crop((0, 100, 512, 400))
    exif = Image.Exif()
    exif[0x0112] = _TURNED
    made = {"plain.png": data / "plain.png", "photo.jpg": data / "photo.jpg", "fine.jpg": data / "fine.jpg"}
    wide.save(made["plain.png"])
    wide.save(made["photo.jpg"], quality=90, exif=exif)
    wide.save(made["fine.jpg"], quality=95, subsampling=0)
    for name, path in made.items():
        load_image(path).save(data / f"{name}.pixels.png")
    return made


def _states(bundle: Path, scene: Image.Image) -> dict[str, str]:
    """Return the decisions of presence, without those that the rounding of another engine could turn."""
    with Segmenter(bundle, backend="onnxruntime", device="cpu") as segmenter:
        thresholds = dict(zip(segmenter.concepts, segmenter.bundle.vocabulary.presence[:, -1], strict=True))
        found = segmenter.segment(scene).values()
    clear = [one for one in found if abs(one.presence - thresholds[one.name]) > _DOUBT]
    return {one.name: "present" if one.present else "absent" for one in clear}


def _masks(segmenter: Segmenter, path: Path) -> dict[str, Any]:
    result = segmenter.segment(path, skip_absent=False)
    return {one.name: {"rle": one.rle(), "score": one.score} for one in result.values()}


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


if __name__ == "__main__":
    write(WEB / "dist" / "page", WEB / "tests" / "data")
