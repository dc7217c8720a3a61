"""Frames of video files, sound and spoilt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cgsam_edge import ImageError, InputError, Video
from cgsam_edge.video_time import rate_of
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
    message = r"clip\.avi: ends after \d+ of 50 frames \(.* of 5\.00 seconds\); it is truncated"
    with pytest.raises(ImageError, match=message):  # noqa: PT012
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
        with pytest.raises(
            ImageError, match=rf"{path.name}: not a video that OpenCV can read: .* truncated before its index"
        ):
            Video(path)
    with pytest.raises(ImageError, match=r"missing\.mp4: no such file"):
        Video(tmp_path / "missing.mp4")
    for every in (0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match="every must be a whole number, 1 or more, got"):
            Video(headless, every=every)  # type: ignore[arg-type]
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "link.mp4").symlink_to("nowhere.mp4")
    for name, message in (
        ("folder", "a folder, not a video"),
        ("link", "a link to 'nowhere.mp4', which does not exist"),
    ):
        with pytest.raises(ImageError, match=rf"{name}\.mp4: {message}"):
            Video(tmp_path / f"{name}.mp4")


TIMES = (0, 0.04, 0.08, 0.12, 0.52, 0.56, 0.6, 1.0, 1.04, 1.4, 1.44, 1.48, 1.52, 1.8, 1.84, 1.88)
"""Of a screen recorder's frames, in seconds: it writes one when something has changed."""


@pytest.mark.parametrize("name", ["sparse.mkv", "sparse.webm", "sparse.mp4", "sparse.ts", "live.webm"])
def test_a_sparse_video_is_whole_and_its_frames_have_their_times(tmp_path: Path, name: str) -> None:
    path = clips.sparse(tmp_path / name, TIMES)
    frames = list(Video(path))  # whatever the container says of their number
    first = frames[0].seconds  # MPEG-TS begins later
    np.testing.assert_allclose([frame.seconds - first for frame in frames], TIMES, atol=2e-3)
    assert Video(path).clock_rate() == pytest.approx(25, rel=0.02)
    second = list(Video(path, every=2))
    np.testing.assert_allclose([frame.seconds - first for frame in second], TIMES[::2], atol=2e-3)


@pytest.mark.parametrize("name", ["sparse.mkv", "sparse.webm"])
def test_a_sparse_video_that_was_cut_off_is_told(tmp_path: Path, name: str) -> None:
    path = clips.cut(clips.sparse(tmp_path / name, TIMES), 0.6)
    with pytest.raises(
        ImageError, match=rf"{name}: ends after \d+ of 48 frames \(.* of 1\.92 seconds\); it is truncated"
    ):
        list(Video(path))


def test_a_recorder_that_waits_at_the_end(tmp_path: Path) -> None:
    """The last picture stands for far longer than any before it: the file is as long as it says, so it is whole."""
    path = clips.sparse(tmp_path / "wait.mkv", (0, 0.04, 0.08, 0.12), sound=6.12)
    video = Video(path)
    assert video.expected() == pytest.approx(25 * 6.12, abs=3)
    assert len(list(video)) == 4


@pytest.mark.parametrize(
    ("times", "nominal", "rate"),
    [
        ([0, 0.1, 0.2, 0.3], 10, 10),
        ([0, 0.033, 0.067, 0.1], 29.97, 29.97),  # times in whole milliseconds
        ([0, 0.04, 0.08, 0.9], 4, 25),  # the container says the mean
        ([0, 0.04, 0.5, 0.9], 1000, 25),  # the container says its clock
        ([0, 0.5, 1.0], 25, 25),
        ([0, 1 / 240, 2 / 240], 240, 240),
        ([0, 0, 0], 25, None),  # no times
        ([0, 0.00001, 0.00002], 25, None),
        ([0, 0.1], None, None),
        ([0.0], 25, 25),
    ],
)
def test_a_rate_that_keeps_the_times(times: list[float], nominal: float | None, rate: float | None) -> None:
    found = rate_of(times, nominal)
    assert found == (None if rate is None else pytest.approx(rate))


def test_no_frame(tmp_path: Path) -> None:
    frameless = clips.make(tmp_path / "none.avi", 0, codec="MJPG")
    with pytest.raises(ImageError, match=r"none\.avi: a video without a frame"):
        list(Video(frameless))
