"""Stages that overlap, and `Segmenter.stream_images`."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import ImageError, InputError, Segmenter, UnknownConceptError, Video, pipeline
from cgsam_edge.pipeline import Stage, overlap
from tests.runtime import clips

TIMEOUT = 20


def test_order_is_kept_whoever_is_first() -> None:
    def work(number: int) -> int:
        time.sleep(0.01 * (number % 3 == 0))
        return 10 * number

    finished = [(item, done.result()) for item, done in overlap(range(20), Stage(work, threads=3))]
    assert finished == [(n, 10 * n) for n in range(20)]
    assert list(overlap([], Stage(work))) == []
    assert [done.result() for _, done in overlap(range(3), Stage(work), ahead=1)] == [0, 10, 20]


def test_stages_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=TIMEOUT)

    def first(number: int) -> int:
        if number > 0:
            meeting.wait()  # for the second stage, which has the item before
        return number

    def second(number: int) -> int:
        if number < 4:
            meeting.wait()
        return number

    assert [done.result() for _, done in overlap(range(5), Stage(first), Stage(second))] == list(range(5))


def test_an_error_belongs_to_its_item() -> None:
    second = Stage(lambda quotient: quotient + 1)
    results: list[object] = []
    for item, done in overlap([1, 0, 2], Stage(lambda n: 2 / n), second):
        error = done.exception()
        results.append((item, type(error) if error else done.result()))
    assert results == [(1, 3.0), (0, ZeroDivisionError), (2, 2.0)]


def test_what_reading_raises_comes_after_the_items_before() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise OSError("unplugged")

    got = []
    with pytest.raises(OSError, match="unplugged"):  # noqa: PT012 — the items before it count
        for item, _ in overlap(items(), Stage(lambda n: n)):
            got.append(item)
    assert got == [1, 2]


class Thing:
    """Something that can be seen to go."""


def test_few_items_are_alive() -> None:
    alive: weakref.WeakSet[Thing] = weakref.WeakSet()

    def items() -> Iterator[Thing]:
        for _ in range(30):
            item = Thing()
            alive.add(item)
            yield item

    most = 0
    for _ in overlap(items(), Stage(lambda thing: thing), Stage(lambda thing: thing), ahead=3):
        time.sleep(0.002)  # the stages have all the time to read more
        most = max(most, len(alive))
    assert 0 < most <= 3 + 1  # the loop's own
    gc.collect()
    assert len(alive) <= 1  # the loop variable


@pytest.mark.parametrize(("weights", "most"), [([40] * 12, 100), ([100, 250, 1, 1, 99, 100, 1], 100), ([0] * 9, 1)])
def test_items_under_way_fit_a_number_of_bytes_or_are_alone(weights: list[int], most: int) -> None:
    lock, under_way, seen = threading.Lock(), [0], []

    def begin(weight: int) -> int:
        with lock:
            under_way.append(weight)
            seen.append((sum(under_way), len(under_way) - 1))
        return weight

    done = []
    for weight, _ in overlap(weights, Stage(begin), ahead=8, weigh=lambda weight: weight, most=most):
        time.sleep(0.002)  # all the time to begin more
        with lock:
            under_way.remove(weight)
        done.append(weight)
    assert done == weights
    assert all(total <= most or count == 1 for total, count in seen), seen


@pytest.mark.timeout(TIMEOUT)
def test_closing_lets_no_reader_wait_for_room() -> None:
    read: list[int] = []

    def weigh(number: int) -> int:
        read.append(number)
        return 10

    with closing(overlap(range(9), Stage(lambda n: n), weigh=weigh, most=10)) as finished:
        next(finished)
        while len(read) < 2:
            time.sleep(0.002)  # until the reader waits with the second
    assert read == [0, 1]


def test_images_are_weighed_by_their_pixels(tiny_segmenter: Segmenter, photos: list[Path]) -> None:
    assert [pipeline.weight(source) for source in (photos[0], str(photos[1]), np.zeros((7, 5, 3), np.uint8))] == [
        4 * 40 * 50, 4 * 41 * 50, 4 * 7 * 5,
    ]  # fmt: skip
    assert pipeline.weight(Video(clips.make(photos[0].with_suffix(".mp4"), 2)).__iter__().__next__()) == 4 * 98 * 66
    assert [pipeline.weight(source) for source in (photos[0].with_name("none.png"), 3, None)] == [0, 0, 0]


def test_closing_stops_reading_and_waits_for_no_stage() -> None:
    release, read = threading.Event(), 0

    def items() -> Iterator[int]:
        nonlocal read
        while True:
            yield read
            read += 1

    done = []

    def work(number: int) -> int:
        if number:
            release.wait(TIMEOUT)
        done.append(number)
        return number

    with closing(overlap(items(), Stage(work))) as finished:
        assert next(finished)[0] == 0
    assert done == [0], "nobody waited for the one under way"
    count = read
    release.set()
    time.sleep(0.05)
    assert read == count <= 8


def test_seconds_are_those_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("cgsam_edge.pipeline.time.perf_counter", lambda: clock[0])

    def work(item: int) -> int:
        clock[0] += 2.0
        return item

    slow, idle = Stage(work), Stage(lambda n: n)
    assert [item for item, _ in overlap([7], slow, idle)] == [7]  # one item, so that the stages take turns
    assert (slow.seconds, idle.seconds) == (2.0, 0.0)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{n}.png" for n in range(6)]
    for n, path in enumerate(paths):
        Image.fromarray(rng.integers(0, 256, (40 + n, 50, 3), dtype=np.uint8)).save(path)
    return paths


def test_a_stream_has_the_masks_of_single_calls(tiny_segmenter: Segmenter, photos: list[Path]) -> None:
    sources = [*photos, np.zeros((30, 20, 3), np.uint8), Image.new("L", (9, 12))]
    streamed = list(tiny_segmenter.stream_images(sources, ["road", "shrub"]))
    assert [source for source, _ in streamed] == sources
    for source, result in streamed:
        alone = tiny_segmenter.segment(source, ["road", "shrub"])
        assert list(result) == list(alone) == ["road", "tree"]
        for name, one in result.items():
            np.testing.assert_array_equal(one.logits, alone[name].logits)
            np.testing.assert_array_equal(one.mask, alone[name].mask)


def test_a_stream_of_frames(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    video = Video(clips.make(tmp_path / "clip.mp4", 7), every=3)
    streamed = list(tiny_segmenter.stream_images(video, "car", ahead=1))
    assert [frame.number for frame, _ in streamed] == [0, 3, 6]
    for frame, result in streamed:
        np.testing.assert_array_equal(result["car"].logits, tiny_segmenter.segment(frame.image)["car"].logits)


def test_a_prepared_image_is_the_image(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    prepared = tiny_segmenter.prepare(picture)
    assert prepared.pixels.shape == (1, 3, 128, 128)
    assert prepared.pixels.dtype == np.float32
    np.testing.assert_array_equal(
        tiny_segmenter.segment(prepared)["car"].logits, tiny_segmenter.segment(picture)["car"].logits
    )


def test_images_that_cannot_be_used(tiny_segmenter: Segmenter, photos: list[Path]) -> None:
    photos[2].write_text("broken")
    failed: list[Path] = []
    streamed = tiny_segmenter.stream_images(photos, "car", on_error=lambda path, _: failed.append(path))
    assert [path for path, _ in streamed] == [*photos[:2], *photos[3:]]
    assert failed == [photos[2]]
    with pytest.raises(ImageError, match=r"2\.png: not an image"):
        list(tiny_segmenter.stream_images(photos, "car"))


def test_mistakes_of_the_call_are_told_at_once(tiny_segmenter: Segmenter, photos: list[Path]) -> None:
    with pytest.raises(UnknownConceptError, match="no concept 'cra'"):
        tiny_segmenter.stream_images(photos, "cra")
    for ahead in (0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match="ahead must be a whole number, 1 or more, got"):
            tiny_segmenter.stream_images(photos, ahead=ahead)  # type: ignore[arg-type]


RGB = np.full((12, 20, 3), 99, np.uint8)


@pytest.mark.parametrize(
    "source", [RGB, RGB[:, :, 0], "photo.png", b"photo.png", Path("photo.png"), Image.fromarray(RGB), 7, None]
)
def test_one_image_is_not_several(tiny_segmenter: Segmenter, source: object) -> None:
    kind = type(source).__name__
    with pytest.raises(InputError, match=f"sources must be several images.*got one {kind}. For one image use segment"):
        tiny_segmenter.stream_images(source, "car")  # type: ignore[arg-type]


def test_an_array_of_pictures_is_several(tiny_segmenter: Segmenter) -> None:
    assert len(list(tiny_segmenter.stream_images(np.stack([RGB, RGB]), "car"))) == 2


def test_a_data_set_with_an_index_alone_is_several() -> None:
    class Pictures:
        def __getitem__(self, index: int) -> np.ndarray:
            return [RGB, RGB][index]

    pipeline.check_several(Pictures())
