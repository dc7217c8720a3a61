"""Large arrays, which each thread converts and resizes a part of, are prepared as all other images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cgsam_edge.errors import CgsamError
from cgsam_edge.image import load_image, load_prepared, to_pixels


@pytest.mark.parametrize("shape", [(601, 800, 3), (1279, 97, 4), (900, 3, 3)])
@pytest.mark.parametrize("count", [2, 7])
def test_threads_convert_an_array_as_one_does(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int], count: int
) -> None:
    monkeypatch.setattr("cgsam_edge.image.band_count", lambda *_: count)
    array = np.random.default_rng(4).integers(0, 256, shape, dtype=np.uint8)
    expected = Image.fromarray(array[:, :, :3].copy())
    made = load_prepared(array, 48, 9)
    array[:] = 0  # a caller may use its array again
    assert made.image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(made.image), np.asarray(expected))
    np.testing.assert_array_equal(made.pixels, to_pixels(expected, 48))


@pytest.mark.parametrize("kind", ["a path", "an image", "grey", "16 bits", "a small array"])
def test_what_is_prepared_is_what_was_loaded(tmp_path: Path, kind: str) -> None:
    array = np.random.default_rng(5).integers(0, 256, (1024, 1025, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    sources: dict[str, Any] = {
        "a path": tmp_path / "a.png",
        "an image": Image.fromarray(array),
        "grey": array[:, :, 0],
        "16 bits": array.astype(np.uint16) * 257,
        "a small array": array[:70],
    }
    made, image = load_prepared(sources[kind], 32, 4), load_image(sources[kind])
    np.testing.assert_array_equal(np.asarray(made.image), np.asarray(image))
    np.testing.assert_array_equal(made.pixels, to_pixels(image, 32))


@pytest.mark.parametrize("wrong", [{"array": np.zeros((2, 2, 2), np.uint8)}, {"bits": 99}, {"page": 2}, {"page": 0}])
def test_a_wrong_array_is_refused_as_ever(wrong: dict[str, Any]) -> None:
    array = wrong.pop("array", np.zeros((1024, 1025, 3), np.uint8))
    with pytest.raises(CgsamError) as expected:
        load_image(array, **wrong)
    with pytest.raises(CgsamError, match=re.escape(str(expected.value))):
        load_prepared(array, 32, 4, **wrong)
