"""The rendered street scenes: same seed same picture, labels that fit, and variety."""

import hashlib
import inspect
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cgsam_edge.quality.scenes import CONCEPTS, HARD, IGNORE, PLAIN, Mix, Scene, render
from cgsam_edge.quality.scenes.layout import Layout
from cgsam_edge.quality.scenes.objects import PROFILES

SAMPLE = 48
SMALL, SIDE = 192, 512


@pytest.fixture(scope="module")
def sample() -> list[Scene]:
    """A sample of small scenes."""
    return [render(7, index, SMALL, SMALL) for index in range(SAMPLE)]


@pytest.mark.parametrize(("height", "width"), [(512, 512), (480, 640), (97, 131)])
def test_size_and_types(height: int, width: int) -> None:
    scene = render(0, 3, height, width)
    assert scene.image.shape == (height, width, 3)
    assert scene.labels.shape == (height, width)
    assert scene.image.dtype == scene.labels.dtype == np.uint8
    assert int(scene.labels.max()) <= IGNORE


def test_same_seed_same_picture() -> None:
    first, again = render(5, 11, 128, 128), render(5, 11, 128, 128)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)


@pytest.mark.parametrize(("seed", "index"), [(5, 12), (6, 11)])
def test_other_seed_or_index_other_picture(seed: int, index: int) -> None:
    assert not np.array_equal(render(5, 11, 128, 128).image, render(seed, index, 128, 128).image)


def test_order_does_not_matter(sample: list[Scene]) -> None:
    assert np.array_equal(sample[9].image, render(7, 9, SMALL, SMALL).image)


@pytest.mark.parametrize("concept", CONCEPTS)
def test_concepts_come_and_go(sample: list[Scene], concept: str) -> None:
    """Each concept is in a fair share of scenes and missing from some, so that "absent" can be learnt."""
    held = sum(int((scene.labels == CONCEPTS.index(concept)).sum()) > 40 for scene in sample)
    assert 0.2 * SAMPLE <= held < SAMPLE


@pytest.mark.parametrize("concept", CONCEPTS)
def test_concepts_move(sample: list[Scene], concept: str) -> None:
    """A concept's centre wanders over the picture: its place alone does not identify it."""
    masks = [scene.labels == CONCEPTS.index(concept) for scene in sample]
    centres = np.array([np.argwhere(mask).mean(axis=0) / SMALL for mask in masks if mask.sum() > 40])
    assert centres[:, 1].std() > 0.05
    assert np.ptp(centres[:, 0]) > 0.2


def test_most_pixels_are_labelled(sample: list[Scene]) -> None:
    unlabelled = np.mean([(scene.labels == IGNORE).mean() for scene in sample])
    assert unlabelled < 0.1


def test_light_varies(sample: list[Scene]) -> None:
    brightness = [float(scene.image.mean()) for scene in sample]
    assert np.ptp(brightness) > 60
    assert min(brightness) > 10


def test_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 pixels, got 8x512"):
        render(0, 0, 8, 512)


def test_command_line_writes_pictures_labels_and_classes(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "-m",
        "cgsam_edge.quality.scenes",
        "--count",
        "2",
        "--size",
        "96x64",
        "--seed",
        "3",
        "--output",
        str(tmp_path),
    ]
    subprocess.run(command, cwd=root, check=True)
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert (
        names
        == sorted(path.name for path in (tmp_path / "labels").iterdir())
        == ["scene_003_00000.png", "scene_003_00001.png"]
    )
    expected = render(3, 1, 64, 96)
    written = cv2.imread(str(tmp_path / "labels" / names[1]), cv2.IMREAD_UNCHANGED)
    assert written is not None
    assert np.array_equal(written, expected.labels)
    assert (tmp_path / "classes.txt").read_text().split("\n")[:12] == [*CONCEPTS, f"ignore: {IGNORE}"]


FROZEN = Path(__file__).parents[1] / "frozen" / "scenes.npz"
"""Scenes of the series that documented figures come from, as they were; see its README."""


CELL = 32


def frozen(made: Scene) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    """Return the labels' SHA-256, and of each cell of 32 x 32 pixels the mean colour and mean step between pixels."""
    rows, columns = (side // CELL for side in made.labels.shape)
    cells = made.image.reshape(rows, CELL, columns, CELL, 3).astype(float)
    steps = np.abs(np.diff(cells, axis=3)).mean(axis=(1, 3, 4))
    return hashlib.sha256(made.labels.tobytes()).hexdigest(), cells.mean(axis=(1, 3)), steps


def test_the_scenes_that_figures_come_from_are_frozen() -> None:
    """Labels to the pixel; colours and textures as far as another processor's sums may differ."""
    with np.load(FROZEN) as held:
        assert len(held["scenes"]) == 24
        for (series, index), *expected in zip(*(held[name] for name in held.files), strict=True):
            labels, colours, steps = frozen(render(int(series), int(index), SIDE, SIDE))
            place = f"scene {index} of series {series}"
            assert labels == expected[0], place
            for found, before in ((colours, expected[1] / 128), (steps, expected[2] / 128)):
                assert np.abs(found - before).max() < 0.5, place
                assert np.abs(found - before).mean() < 0.01, place


def test_a_hard_mix_holds_more_of_what_models_confuse(sample: list[Scene]) -> None:
    hard = [render(7, index, SMALL, SMALL, HARD) for index in range(SAMPLE)]
    for concept in ("pedestrian", "bicyclist", "sign", "pole"):
        index = CONCEPTS.index(concept)
        covered = [sum(int((scene.labels == index).sum()) for scene in scenes) for scenes in (sample, hard)]
        assert covered[1] > 1.2 * covered[0], concept


@pytest.mark.parametrize("mix", [PLAIN, HARD], ids=lambda mix: mix.name)
def test_a_mix_names_what_there_is(mix: Mix) -> None:
    assert len(mix.vehicles) == len(PROFILES)
    assert sum(mix.vehicles) == pytest.approx(1)
    for kind in (*mix.pieces, *mix.close):
        assert "near" in inspect.signature(getattr(Layout, kind)).parameters
