"""The pictures in README and docs are those that the shipped model draws today."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks import moving_picture, pictures, sheet_picture, tracked_picture
from benchmarks.objects_picture import objects_picture
from cgsam_edge import Result, Segmenter, shipped
from cgsam_edge.quality.demo import choice, demo_scene, labels_right
from cgsam_edge.quality.scenes import CONCEPTS, IGNORE, Scene

ROOT = Path(__file__).parents[2]
MOVING = pictures.IMAGES / "demo.webp"
TRACKED = pictures.IMAGES / "tracks.webp"
LARGEST = 1_000_000
FEW = 0.01
"""Share of pixels at the edges of masks that may fall the other way on another processor."""


def differing(one: Image.Image, other: Image.Image, least: int) -> float:
    """Return the share of pixels whose colours are further apart than ``least``."""
    assert one.size == other.size
    apart = np.abs(np.asarray(one.convert("RGB"), int) - np.asarray(other.convert("RGB"), int)).max(axis=2)
    return float((apart > least).mean())


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(backend="onnxruntime")


def test_the_street_is_drawn_by_the_shipped_model(segmenter: Segmenter) -> None:
    shown = choice()
    drawn = segmenter.segment(demo_scene(shown.series, shown.scene).image, CONCEPTS).overlay()
    assert differing(drawn, Image.open(pictures.IMAGES / "street.png"), 8) < FEW, "run `make pictures`"


def test_things_without_a_name_are_right_in_no_colour() -> None:
    class Found:
        def label_map(self) -> NDArray[np.int32]:
            return np.array([[0, -1, -1], [1, 2, -1]], np.int32)

    labels = np.full((2, 3), IGNORE, np.uint8)
    labels[0, 0], labels[1, 1] = 0, 3  # the second is found as another concept, and one thing without a name as one
    scene = Scene(np.zeros((2, 3, 3), np.uint8), labels)
    assert labels_right(cast("Result", Found()), scene) == pytest.approx(4 / 6)


@pytest.mark.slow
def test_the_objects_are_those_of_the_median_scene(segmenter: Segmenter) -> None:
    median = json.loads(shipped.DEMO.read_text(encoding="utf-8"))["median"]["scene"]
    result = segmenter.segment(demo_scene(pictures.SERIES, median).image, CONCEPTS)
    drawn = objects_picture(result, pictures.OBJECTS)
    assert differing(drawn, Image.open(pictures.IMAGES / "objects.png"), 8) < FEW, "run `make pictures`"


@pytest.mark.slow
def test_the_nine_scenes_are_drawn_by_the_shipped_model(segmenter: Segmenter) -> None:
    drawn = sheet_picture.drawn(pictures.SERIES, 200, segmenter)
    assert differing(drawn, Image.open(pictures.IMAGES / "nine.webp"), 60) < 2 * FEW, "run `make pictures`"


@pytest.mark.slow
def test_the_moving_picture_is_drawn_by_the_shipped_model(segmenter: Segmenter) -> None:
    moving = moving_picture.frames(segmenter, choice())
    with Image.open(MOVING) as kept:
        assert kept.n_frames == len(moving) > 8
        for number, frame in enumerate(moving):
            kept.seek(number)
            assert differing(frame.picture, kept, 60) < 2 * FEW, f"frame {number}: run `make pictures`"


@pytest.mark.slow
def test_the_tracked_clip_is_drawn_by_the_shipped_model(segmenter: Segmenter) -> None:
    """Its first frames; objects have their numbers from the second one on."""
    with Image.open(TRACKED) as kept:
        assert kept.n_frames == tracked_picture.FRAMES
        for number, picture in enumerate(tracked_picture.pictures(segmenter, 3)):
            kept.seek(number)
            assert differing(picture, kept, 60) < 2 * FEW, f"frame {number}: run `make pictures`"
        assert TRACKED.stat().st_size < LARGEST
        assert kept.info["loop"] == 0


def test_the_moving_picture_is_small_and_repeats() -> None:
    assert MOVING.stat().st_size < LARGEST
    with Image.open(MOVING) as kept:
        assert kept.info["loop"] == 0


def test_every_picture_of_readme_exists() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert "docs/images/demo.webp" in shown
    assert not [name for name in shown if not (ROOT / name).is_file()]
