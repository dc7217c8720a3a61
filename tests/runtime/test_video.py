"""Frames of video files, sound and spoilt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cgsam_edge import ImageError, InputError, Video
from tests.runtime import clips


def test_frames_in_order(tmp_path: Path) -> None:
    video = Video(clips.make(tmp_path / "clip.mp4", 12, fps=10))
    assert (video.fps, video.expected()) == (10, 12)
    for _ in range(2):  # each iteration begins anew
        frames = list(video)
        assert [frame.number for frame in frames] == list(range(12))
        np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(12) / 10, atol=1e-3)
    for frame in frames:
        assert frame.image.shape == (*clips.SIZE[::-1], 3)
        assert frame.image.dtype == np.uint8
        expected = clips.pixels(frame.number)[:, :, ::-1].astype(int)
        assert np.abs(frame.image.astype(int) - expected).mean() < 12  # RGB; the codec loses a little


def test_every_third_frame(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", 10, fps=30)
    video = Video(path, every=3)
    assert (video.fps, video.expected()) == (10, 4)
    frames = list(video)
    assert [frame.number for frame in frames] == [0, 3, 6, 9]
    all_of_them = list(Video(path))
    for frame in frames:
        np.testing.assert_array_equal(frame.image, all_of_them[frame.number].image)
    assert [frame.number for frame in Video(path, every=99)] == [0]


def test_a_turned_video_stands_upright(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", 3)
    lying = list(Video(path))
    upright = list(Video(clips.turned(path)))
    np.testing.assert_array_equal(upright[1].image, np.rot90(lying[1].image, -1))


def test_a_rate_and_a_count_that_nobody_knows(tmp_path: Path) -> None:
    assert Video(clips.without_rate(clips.make(tmp_path / "clip.mp4", 5)), every=2).fps is None
    bare = Video(clips.without_count(tmp_path / "bare.mpeg", 5))
    assert bare.expected() is None
    assert len(list(bare)) == 5


def test_a_truncated_video_gives_its_frames_and_says_so(tmp_path: Path) -> None:
    path = clips.cut(clips.make(tmp_path / "clip.avi", 50, codec="MJPG"), 0.6)
    numbers = []
    with pytest.raises(ImageError, match=r"clip\.avi: ends after \d+ of 50 frames; it is truncated"):  # noqa: PT012
        for frame in Video(path):
            numbers.append(frame.number)  # noqa: PERF401 — kept although the loop ends with an error
    assert numbers == list(range(len(numbers)))
    assert 20 < len(numbers) < 40


def test_no_video(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("hello")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    headless = clips.cut(clips.make(tmp_path / "cut.mp4", 20), 0.5)  # its index was at the end
    for path in (text, empty, headless):
        with pytest.raises(ImageError, match=rf"{path.name}: not a video that OpenCV can read: .* cut off"):
            Video(path)
    with pytest.raises(ImageError, match=r"missing\.mp4: no such file"):
        Video(tmp_path / "missing.mp4")
    with pytest.raises(InputError, match="every must be 1 or more, got 0"):
        Video(headless, every=0)


def test_no_frame(tmp_path: Path) -> None:
    frameless = clips.make(tmp_path / "none.avi", 0, codec="MJPG")
    with pytest.raises(ImageError, match=r"none\.avi: a video without a frame"):
        list(Video(frameless))
