"""`Segmenter.stream_images` with ``track`` and ``smooth``, on a real bundle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cgsam_edge import ImageError, InputError, Segmenter, Tracking
from cgsam_edge.quality.scenes import render_clip

FRAMES = 5
NAMES = ["road", "car"]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [one.image for one in render_clip(3, 0, FRAMES, 96, 128)]


def test_tracks_are_added_to_results_that_stay_exact(tiny_segmenter: Segmenter, pictures: list[np.ndarray]) -> None:
    """Numbers start at 1, and an object is what `Result.objects` gives for the frame."""
    streamed = list(tiny_segmenter.stream_images(pictures, NAMES, track=Tracking(min_frames=1)))
    assert len(streamed) == FRAMES
    for picture, result in streamed:
        alone = tiny_segmenter.segment(picture, NAMES)
        for name in NAMES:
            np.testing.assert_array_equal(result[name].logits, alone[name].logits)
            assert (result[name].presence, result[name].present) == (alone[name].presence, alone[name].present)
        expected = {(one.concept, one.box, one.area) for one in alone.objects()}
        assert {(one.object.concept, one.object.box, one.object.area) for one in result.tracks} == expected
        assert [one.id for one in result.tracks] == sorted({one.id for one in result.tracks})
    numbers = [one.id for _, result in streamed for one in result.tracks]
    assert min(numbers) == 1
    assert len(set(numbers)) < len(numbers)


def test_off_means_off(tiny_segmenter: Segmenter, pictures: list[np.ndarray]) -> None:
    """Neither tracks nor a changed number; nothing of it is imported."""
    for _, result in tiny_segmenter.stream_images(pictures, NAMES, track=False, smooth=0):
        assert result.tracks == ()
    code = (
        "import sys, numpy, cgsam_edge\n"
        f"with cgsam_edge.Segmenter({str(tiny_segmenter.bundle.path)!r}) as one:\n"
        "    list(one.stream_images([numpy.zeros((40, 40, 3), 'uint8')]))\n"
        "print([name for name in sys.modules if name.startswith('cgsam_edge.live')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_smoothing_begins_with_the_second_frame(tiny_segmenter: Segmenter, pictures: list[np.ndarray]) -> None:
    plain = [result["road"].logits for _, result in tiny_segmenter.stream_images(pictures, "road")]
    smooth = [result["road"].logits for _, result in tiny_segmenter.stream_images(pictures, "road", smooth=0.6)]
    np.testing.assert_array_equal(smooth[0], plain[0])
    assert all(not np.array_equal(a, b) for a, b in zip(smooth[1:], plain[1:], strict=True))


def test_an_image_that_cannot_be_used_is_passed_over(
    tiny_segmenter: Segmenter, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    failed: list[ImageError] = []
    sources = [*pictures[:2], tmp_path / "missing.png", *pictures[2:]]
    streamed = tiny_segmenter.stream_images(
        sources, "road", track=Tracking(min_frames=1), smooth=0.5, on_error=lambda _, error: failed.append(error)
    )
    assert len(list(streamed)) == FRAMES
    assert "missing.png" in str(failed[0])


def test_mistakes_are_refused_at_once(tiny_segmenter: Segmenter) -> None:
    with pytest.raises(InputError, match=r"smooth must be a number from 0 \(off\) to 0\.95, got 1"):
        tiny_segmenter.stream_images([], smooth=1)
    with pytest.raises(InputError, match="smooth must be a number"):
        tiny_segmenter.stream_images([], smooth=True)
    with pytest.raises(InputError, match=r"track must be True, False or a cgsam_edge\.Tracking, got 'cars'"):
        tiny_segmenter.stream_images([], track="cars")  # type: ignore[arg-type]
