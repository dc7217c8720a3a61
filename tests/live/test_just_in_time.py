"""Frames of a camera are read only as the engine is free, and no wait is left behind; deterministic, with no server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from cgsam_edge import CameraFrame, Segmenter
from cgsam_edge.live.just_in_time import JustInTime
from cgsam_edge.pipeline import Stage, overlap

TIMEOUT = 20


class Source:
    """Pictures that count how many were read; ``live`` says that they age."""

    def __init__(self, picture: Image.Image, live: bool) -> None:
        self.live, self.read, self._picture = live, 0, picture

    def __iter__(self) -> Iterator[Image.Image]:
        for _ in range(20):
            self.read += 1
            yield self._picture


@pytest.mark.parametrize("live", [True, False])
def test_a_stream_reads_no_frame_of_a_camera_in_advance(
    tiny_segmenter: Segmenter, picture: Image.Image, live: bool
) -> None:
    source = Source(picture, live)
    read = [source.read for _ in tiny_segmenter.stream_images(source, "car")]
    assert (read == list(range(1, 21))) is live  # others are read while the engine works


class Numbers:
    """A camera of numbers that waits at one of them, as a lost camera does."""

    def __init__(self, wait_at: int = 1000) -> None:
        self.read, self._wait_at = 0, wait_at
        self._stopped = threading.Event()

    def __iter__(self) -> Numbers:
        return self

    def __next__(self) -> Any:
        if self.read == self._wait_at:
            assert self._stopped.wait(TIMEOUT)
            raise StopIteration
        self.read += 1
        return self.read

    def interrupt(self) -> None:
        self._stopped.set()


def test_the_next_frame_is_read_as_the_engine_is_free() -> None:
    camera: Any = Numbers(wait_at=6)
    frames: Any = JustInTime(camera)
    seen: list[tuple[int, int]] = []

    def work(number: int) -> None:
        time.sleep(0.05)  # for a reader that does not wait
        seen.append((number, camera.read))

    engine = Stage(frames.freeing(work))
    processed = overlap(frames, Stage(frames.guarded(lambda number: number)), engine, ahead=3)
    for number, _ in processed:
        if number == 6:
            frames.interrupt()
    assert seen == [(number, number) for number in range(1, 7)]  # none was read while another was in the engine


def test_a_frame_that_cannot_be_prepared_lets_the_next_one_in() -> None:
    camera: Any = Numbers(wait_at=4)
    frames: Any = JustInTime(camera)

    def prepare(number: int) -> int:
        if number == 2:
            raise ValueError(number)
        return number

    found = []
    for number, done in overlap(frames, Stage(frames.guarded(prepare)), Stage(frames.freeing(abs)), ahead=3):
        found.append(done.exception() is None)
        if number == 4:
            frames.interrupt()
    assert found == [True, False, True, True]


def test_closing_wakes_an_iterator_that_waits() -> None:
    camera = Numbers(wait_at=2)
    processed = overlap(camera, Stage(abs), ahead=3)
    next(processed)
    closer = threading.Thread(target=processed.close, daemon=True)
    closer.start()
    closer.join(TIMEOUT / 2)
    assert not closer.is_alive()


def test_age_is_counted_by_a_clock_that_nobody_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgsam_edge.live.camera.time.monotonic", lambda: 107.5)
    monkeypatch.setattr("cgsam_edge.live.camera.time.time", lambda: 0.0)
    assert CameraFrame(0, 0.0, None, None, 1e9, 100.0).age() == 7.5  # type: ignore[arg-type]
