"""The shortest useful part of `make test-arm64`: one mask from an arm64 Python, and none of its pixels differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cgsam_edge.quality.scenes.concepts import IGNORE
from tests.arm64 import __main__ as whole
from tests.arm64 import device, emulator
from tests.vectors.__main__ import bundles

needed = pytest.mark.skipif(bool(emulator.missing()), reason=emulator.missing() or "-")


@needed
@pytest.mark.slow
def test_an_arm64_python_makes_the_same_masks(tmp_path: Path) -> None:
    pictures = whole.scenes(tmp_path / "scenes", 1)
    found = whole.both(bundles()[-1], pictures, tmp_path, "onnxruntime", "--masks-only")
    assert found["masks"] == 3
    assert found["pixels"] == 3 * 512 * 512
    assert found["pixels_differ"] == 0


def test_masks_are_compared_pixel_by_pixel(tmp_path: Path) -> None:
    mask = np.zeros((4, 5), bool)
    for name, one in (("here", mask), ("same", mask), ("other", mask.copy())):
        (tmp_path / name).mkdir()
        one[1, 2] |= name == "other"
        np.savez_compressed(tmp_path / name / "masks.npz", a=one)
    assert whole.compare(tmp_path / "here", tmp_path / "same") == {"masks": 1, "pixels_differ": 0, "pixels": 20}
    assert whole.compare(tmp_path / "here", tmp_path / "other")["pixels_differ"] == 1


@pytest.mark.parametrize(("peak", "boards"), [(345_000_000, [1, 2, 4]), (800_000_000, [2, 4]), (3_100_000_000, [])])
def test_a_board_keeps_a_quarter_for_its_system(peak: int, boards: list[int]) -> None:
    assert whole.fits(peak) == boards


def test_scenes_hold_two_concepts(tmp_path: Path) -> None:
    from cgsam_edge.opencv import cv2

    folder = whole.scenes(tmp_path, 1)
    labels = np.asarray(cv2.imread(str(next((folder / "labels").iterdir())), cv2.IMREAD_UNCHANGED))
    assert set(np.unique(labels)) <= {0, 1, IGNORE}
    assert (folder / "classes.txt").read_text().splitlines()[: len(device.CONCEPTS)] == list(device.CONCEPTS)
