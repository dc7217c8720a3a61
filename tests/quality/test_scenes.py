"""The rendered street scenes: same seed same picture, labels that fit, and variety."""

import hashlib
import inspect
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cgsam_edge.quality.scenes import CONCEPTS, HARD, IGNORE, PLAIN, Mix, Scene, render
from cgsam_edge.quality.scenes.layout import Layout
from cgsam_edge.quality.scenes.objects import PROFILES

SAMPLE = 48
SMALL = 192


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


FROZEN = {
    (1, 0): ("040ae4206b9bffee", 119.71, 6.99),
    (1, 87): ("9d25464df1616cbd", 117.10, 7.12),
    (1, 199): ("d9d9eaacfe7ba1d3", 121.04, 8.06),
    (7, 3): ("a047a06d1af359fa", 89.30, 8.87),
}
"""Of some scenes of 192 pixels: the labels' SHA-256, the mean of all channels, and that of steps between pixels.

Documented figures come from these series.
"""


@pytest.mark.parametrize("scene", list(FROZEN))
def test_the_scenes_that_figures_come_from_are_frozen(scene: tuple[int, int]) -> None:
    made = render(*scene, SMALL, SMALL)
    labels, colour, roughness = FROZEN[scene]
    assert hashlib.sha256(made.labels.tobytes()).hexdigest()[:16] == labels
    assert made.image.mean() == pytest.approx(colour, abs=0.05)
    assert np.abs(np.diff(made.image.astype(int), axis=1)).mean() == pytest.approx(roughness, abs=0.02)


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
