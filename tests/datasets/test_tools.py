"""Every data set format, read by the tool that it is for, beside masks that were drawn by hand.

A tool that is not installed is skipped. Some tools cannot be installed beside others (`make test-tools` gives them a
Python to themselves): ``CGSAM_TOOLS_PYTHON`` names it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cgsam_edge.agreement import mask_iou
from cgsam_edge.datasets import FORMATS
from tests.conftest import slow
from tests.datasets import readers
from tests.datasets.pictures import CONCEPTS, HEIGHT, WIDTH, box, disc, draw_images, picture, pictures, ring

EXPECTED = {("a", "car"): box(), ("a", "road"): ring(), ("b", "traffic light"): disc(60, 40, 20)}
"""Masks by the stem of a picture and by concept."""

WITHOUT_HOLES = {("a", "car"), ("b", "traffic light")}

TOOLS: dict[str, tuple[str, dict[tuple[str, str], float]]] = {
    "pycocotools": ("coco", {}),
    "datumaro-coco": ("coco", {}),
    "datumaro-voc": ("voc", dict.fromkeys(EXPECTED, 1.0)),
    "datumaro-cvat": ("cvat", {("a", "road"): 1.0}),
    "labelstudio": ("labelstudio", {("a", "road"): 1.0}),
    "geojson": ("geojson", {}),
    # These fill polygons with OpenCV, which also counts the pixels that the outline touches on the right and below.
    "supervision": ("coco", dict.fromkeys(WITHOUT_HOLES, 0.92)),
    "ultralytics": ("yolo", dict.fromkeys(EXPECTED, 0.91)),
    "labelme": ("labelme", {("a", "road"): 1.0, **dict.fromkeys(WITHOUT_HOLES, 0.92)}),
}
"""Format that each tool reads, and its least mask IoU by object, 0.98 where none is given."""

EVERYDAY = ("pycocotools", "geojson", "supervision")


def read(tool: str, folder: Path, output: Path, size: tuple[int, int] = (HEIGHT, WIDTH)) -> dict[str, np.ndarray]:
    """Return the masks that a tool finds in a folder, by picture, number and concept."""
    (folder / "size.txt").write_text(json.dumps(size), encoding="utf-8")
    for python in filter(None, (os.environ.get("CGSAM_TOOLS_PYTHON"), sys.executable)):
        command = [python, readers.__file__, tool, str(folder), str(output)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"YOLO_OFFLINE": "1"}
        )
        if done.returncode != readers.NOT_INSTALLED:
            assert done.returncode == 0, done.stdout + done.stderr
            return dict(np.load(output))
    pytest.skip(f"{tool}: {readers.READERS[tool][0]} is not installed (make test-tools)")


def by_stem(found: dict[str, np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    parts = {key: key.split("|") for key in found}
    made = {(Path(name).stem, concept): found[key] for key, (name, _, concept) in parts.items()}
    assert len(made) == len(found), "an object was found twice"
    return made


@pytest.mark.parametrize("tool", [one if one in EVERYDAY else slow(one) for one in TOOLS])
def test_the_tool_finds_every_object(tool: str, tmp_path: Path) -> None:
    form, least = TOOLS[tool]
    source = draw_images(tmp_path / "source")
    FORMATS[form].write(pictures(), CONCEPTS, tmp_path / form, images=source.joinpath)
    found = by_stem(read(tool, tmp_path / form, tmp_path / "masks.npz"))
    assert found.keys() == EXPECTED.keys()
    for key, mask in EXPECTED.items():
        assert mask_iou(found[key], mask) >= least.get(key, 0.98), (key, mask.sum(), found[key].sum())


@pytest.mark.slow
def test_ultralytics_reads_pictures_of_a_folder_images(tmp_path: Path) -> None:
    """It looks for labels in place of the last folder "images" of a path, and takes a picture without as background."""
    source = draw_images(tmp_path / "source")
    one = picture("street/images/b.png", {"car": box()}, "train")
    FORMATS["yolo"].write([one], CONCEPTS, tmp_path / "yolo", images=lambda _: source / "street" / "b.png")
    found = by_stem(read("ultralytics", tmp_path / "yolo", tmp_path / "masks.npz"))
    assert found.keys() == {("b", "car")}


def test_supervision_reads_yolo_of_one_folder(tmp_path: Path) -> None:
    """It only sees pictures that lie in the folder of a split itself."""
    source = draw_images(tmp_path / "source")
    FORMATS["yolo"].write(pictures()[:1], CONCEPTS, tmp_path / "yolo", images=source.joinpath)
    found = by_stem(read("supervision-yolo", tmp_path / "yolo", tmp_path / "masks.npz"))
    assert found.keys() == {("a", "car"), ("a", "road")}
    assert mask_iou(found["a", "road"], ring()) >= 0.91
    assert not found["a", "road"][44, 71], "the hole is open"


@pytest.mark.slow
def test_label_studio_exports_what_a_person_accepted(tmp_path: Path) -> None:
    """Its converter to COCO takes polygons alone."""
    FORMATS["labelstudio"].write(pictures(), CONCEPTS, tmp_path / "set")
    found = by_stem(read("labelstudio-coco", tmp_path / "set", tmp_path / "masks.npz"))
    assert found.keys() == WITHOUT_HOLES
    for key, mask in found.items():
        assert mask_iou(mask, EXPECTED[key]) >= 0.98
