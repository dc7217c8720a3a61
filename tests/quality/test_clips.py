"""The rendered clips: same seed same frames, things that keep their number, move, hide and return."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from cgsam_edge.quality.scenes import CONCEPTS, ClipFrame, render_clip
from cgsam_edge.quality.scenes.clips import RATE, THINGS
from cgsam_edge.quality.scenes.motion import draw_ride, draw_start

CLIPS, FRAMES, SIDE = 4, 48, 160
PEDESTRIAN = CONCEPTS.index("pedestrian")


@pytest.fixture(scope="module")
def clips() -> list[list[ClipFrame]]:
    return [list(render_clip(7, index, FRAMES, SIDE, SIDE)) for index in range(CLIPS)]


def test_frames_have_sizes_types_and_times() -> None:
    frames = list(render_clip(0, 3, 3, 97, 131))
    assert [one.number for one in frames] == [0, 1, 2]
    assert [one.seconds for one in frames] == [0, 1 / RATE, 2 / RATE]
    for one in frames:
        assert one.image.shape == (97, 131, 3)
        assert one.labels.shape == one.ids.shape == (97, 131)
        assert one.image.dtype == one.labels.dtype == np.uint8
        assert one.ids.dtype == np.uint16


@pytest.mark.slow
def test_a_frame_depends_on_its_time_alone(clips: list[list[ClipFrame]]) -> None:
    """Not on how many frames are drawn, nor on those before it: half the rate gives each second frame."""
    slower = list(render_clip(7, 1, 3, SIDE, SIDE, RATE / 2))
    for one, same in zip(slower, clips[1][::2], strict=False):
        assert np.array_equal(one.labels, same.labels)
        assert np.array_equal(one.ids, same.ids)
    assert np.array_equal(next(render_clip(7, 1, 1, SIDE, SIDE)).image, clips[1][0].image)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "index"), [(7, 2), (8, 1)])
def test_other_seed_or_index_other_clip(clips: list[list[ClipFrame]], seed: int, index: int) -> None:
    assert not np.array_equal(next(render_clip(seed, index, 1, SIDE, SIDE)).labels, clips[1][0].labels)


@pytest.mark.slow
def test_things_are_numbered_and_nothing_else_is(clips: list[list[ClipFrame]]) -> None:
    for one in (frame for frames in clips for frame in frames):
        assert np.array_equal(one.ids > 0, np.isin(one.labels, THINGS))


@pytest.mark.slow
def test_a_number_keeps_its_concept(clips: list[list[ClipFrame]]) -> None:
    """A sign and the pole that carries it are one thing; all others have one concept through the whole clip."""
    several = {frozenset({CONCEPTS.index("sign"), CONCEPTS.index("pole")})}
    for frames in clips:
        ids, labels = (np.stack([getattr(one, name) for one in frames]) for name in ("ids", "labels"))
        for number in np.unique(ids[ids > 0]):
            found = frozenset(np.unique(labels[ids == number]).tolist())
            assert len(found) == 1 or found in several


@pytest.mark.slow
def test_things_move_a_little_at_a_time(clips: list[list[ClipFrame]]) -> None:
    """People cross the picture in small steps: a number never jumps to something else."""
    longest = 0.0
    for frames in clips:
        for number in _numbers(frames, PEDESTRIAN):
            places = {one.number: _middle(one, number) for one in frames if np.sum(one.ids == number) > 20}
            steps = [abs(places[b] - places[a]) for a, b in pairwise(places) if b == a + 1]
            assert max(steps, default=0) < 0.1
            longest = max(longest, np.ptp(list(places.values())) if places else 0)
    assert longest > 0.3


@pytest.mark.slow
def test_someone_hides_and_returns(clips: list[list[ClipFrame]]) -> None:
    gaps = [
        b - a - 1
        for frames in clips
        for number in _numbers(frames, PEDESTRIAN)
        for a, b in pairwise(_seen(frames, number))
    ]
    assert sum(3 <= gap <= 15 for gap in gaps) >= 2


def test_noise_differs_between_frames_and_texture_does_not() -> None:
    """A camera on a stand before nothing that moves: the noise of two frames is not the same."""
    first, second = list(render_clip(7, 0, 2, SIDE, SIDE, rate=1e9))
    assert np.array_equal(first.labels, second.labels)
    difference = np.abs(first.image.astype(int) - second.image)
    assert 0 < difference.mean() < 6


def test_cameras_stand_walk_drive_and_pan() -> None:
    rng = np.random.default_rng(5)
    rides = [draw_ride(rng) for _ in range(60)]
    start = draw_start(rng, 64, 48)
    assert {0, 1} < {round(min(ride.speed, 3)) for ride in rides}
    assert any(ride.speed > 2.9 for ride in rides)
    for ride in rides:
        later = ride.at(start, 2.0)
        assert later.z == 2 * ride.speed
        assert abs(later.yaw - start.yaw - 2 * ride.pan) <= 0.006
    assert any(ride.pan for ride in rides)


def test_too_small_a_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 pixels, got 512x8"):
        render_clip(0, 0, 1, 512, 8)


def _numbers(frames: list[ClipFrame], concept: int) -> list[int]:
    ids: NDArray[np.uint16] = np.concatenate([one.ids[one.labels == concept] for one in frames])
    return [int(number) for number in np.unique(ids)]


def _seen(frames: list[ClipFrame], number: int) -> list[int]:
    return [one.number for one in frames if (one.ids == number).any()]


def _middle(frame: ClipFrame, number: int) -> float:
    """Return where a thing is across the picture, 0 to 1."""
    return float(np.argwhere(frame.ids == number)[:, 1].mean()) / SIDE
