"""Data sets of real frames, labelled by the reference model, read by the tools that they are for."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from cgsam_edge import Segmenter
from cgsam_edge.agreement import mask_iou
from cgsam_edge.datasets import FORMATS, LabelledPicture, labelled
from tests.conftest import CAMVID
from tests.datasets.test_tools import read

FRAMES = 6
LARGE = 1000
"""Pixels of an object whose mask a tool must find again."""

LEAST = {
    "pycocotools": ("coco", 0.98),
    "datumaro-coco": ("coco", 0.98),
    "datumaro-cvat": ("cvat", 0.98),
    "labelstudio": ("labelstudio", 0.98),
    "geojson": ("geojson", 0.97),  # rasterio fills by the centres of pixels, the writer holds 0.98 by pycocotools' rule
    "supervision": ("coco", 0.85),  # these fill polygons with OpenCV, a pixel wider
    "ultralytics": ("yolo", 0.75),  # and draw bridges
    "labelme": ("labelme", 0.85),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CAMVID / "val" / "images").is_dir(), reason="CamVid is not beside the checkout"),
]


@pytest.fixture(scope="module")
def pictures() -> list[LabelledPicture]:
    files = sorted((CAMVID / "val" / "images").iterdir())[:: max(1, 100 // FRAMES)][:FRAMES]
    with Segmenter(backend="onnxruntime", threads=1) as segmenter:
        return [labelled(path.name, segmenter.segment(path), split="train") for path in files]


@pytest.mark.parametrize("tool", LEAST)
def test_the_tool_finds_the_objects_of_a_street(tool: str, pictures: list[LabelledPicture], tmp_path: Path) -> None:
    form, least = LEAST[tool]
    concepts = tuple(dict.fromkeys(one.concept for picture in pictures for one in picture.objects))
    size = (pictures[0].height, pictures[0].width)
    FORMATS[form].write(pictures, concepts, tmp_path / form, images=(CAMVID / "val" / "images").joinpath)
    found: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for label, mask in read(tool, tmp_path / form, tmp_path / "masks.npz", size).items():
        name, _, concept = label.split("|")
        found[Path(name).stem, concept].append(mask)
    written: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for picture in pictures:
        for one in picture.objects:
            written[Path(picture.name).stem, one.concept].append(one.runs().mask())
    assert sum(map(len, written.values())) > 50
    assert {key: len(masks) for key, masks in found.items()} == {key: len(masks) for key, masks in written.items()}
    for key, masks in written.items():
        for mask in masks:
            best = max(mask_iou(other, mask) for other in found[key])
            assert best >= least or mask.sum() <= LARGE, (key, int(mask.sum()), best)
