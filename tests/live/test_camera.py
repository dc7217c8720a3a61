"""`Camera` against real servers of RTSP and Motion JPEG on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from cgsam_edge import Camera, CameraError, Segmenter
from tests.conftest import slow
from tests.live import servers
from tests.live.clock_picture import HEIGHT, WIDTH, milliseconds, number_in
from tests.live.conftest import Serve, mostly_http

LATE = 2.0
"""Seconds: far less than the time for which a test sleeps, far more than a loaded machine needs for a frame."""


def test_the_newest_frame_and_never_the_same(serve: Serve) -> None:
    _, url = serve()
    with Camera(url) as camera:
        numbers, times = [], []
        for _ in range(4):
            time.sleep(0.4)
            frame = camera.read()
            assert frame is not None
            assert frame.image.shape == (HEIGHT, WIDTH, 3)
            assert frame.image.dtype == np.uint8
            assert frame.age() < LATE
            assert milliseconds() - number_in(frame.image) < 1000 * LATE
            numbers.append(frame.number)
            times.append(frame.seconds)
        assert all(after > before for before, after in pairwise(numbers)), numbers
        assert numbers[-1] - numbers[0] > 3, numbers  # frames between them were dropped
        assert times == sorted(times)
        assert camera.dropped >= numbers[-1] + 1 - len(numbers)
        assert camera.dropped + len(numbers) <= camera.arrived


def test_every_frame_for_who_is_quick(serve: Serve) -> None:
    _, url = serve()
    with Camera(url) as camera:
        camera.read()
        frames = [frame for frame, _ in zip(camera, range(5), strict=False)]
    assert len({number_in(frame.image) for frame in frames}) == 5
    assert camera.read() is None


def test_an_interrupt_ends_who_is_slower_than_the_camera(serve: Serve) -> None:
    _, url = serve()
    with Camera(url) as camera:
        for taken, _ in enumerate(frames := iter(camera), 1):
            if taken == 2:
                frames.interrupt()
            time.sleep(0.3)  # several frames arrive meanwhile, so that there is always a newer one
        assert taken == 2


@pytest.mark.parametrize(
    ("kind", "how"),
    [("http", "killed"), ("http", "frozen"), ("rtsp", "killed"), slow("rtsp", "frozen")],
    indirect=["kind"],
)
def test_a_server_that_dies_is_found_again(serve: Serve, how: str) -> None:
    server, url = serve()
    said: list[str] = []
    with Camera(url, read_timeout=1, progress=said.append) as camera:
        assert camera.read(5) is not None
        if how == "killed":
            server.kill()
        else:
            server.freeze()
        while camera.problem is None:
            time.sleep(0.01)
        while camera.read(0.1) is not None:
            pass
        assert camera.read(0.3) is None
        server.kill()
        server.start()
        returned = time.monotonic()
        frame = camera.read(30)
        assert frame is not None
        assert frame.monotonic > returned
        assert frame.monotonic - returned < 15  # 5 on a machine that does nothing else, see benchmarks
        assert camera.reconnections == 1
    assert len(said) == 2, said
    assert "Trying again" in said[0]
    assert "back after" in said[1]


def arriving(monkeypatch: pytest.MonkeyPatch, connections: Iterable[Iterable[Any]]) -> None:
    """Let a camera yield pictures without a network; the last connection holds."""
    left = iter(connections)

    def pictures(*_: object) -> Generator[Any, None, None]:
        yield from next(left)
        raise CameraError("gone.")

    monkeypatch.setattr("cgsam_edge.live.camera.network.pictures", pictures)


class Still:
    """A picture as `Camera` takes it."""

    def rgb(self) -> np.ndarray:
        return np.zeros((2, 2, 3), np.uint8)


def held(*pictures: Still) -> Iterator[Still]:
    yield from pictures
    time.sleep(60)


def test_who_has_the_frame_after_a_return_sees_it_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    arriving(monkeypatch, [[Still()], held(Still())])
    said: list[str] = []

    def slow(text: str) -> None:
        time.sleep(0.3)
        said.append(text)

    with Camera("rtsp://127.0.0.1/x", progress=slow) as camera:
        while (frame := camera.read(5)) is not None and frame.number == 0:
            pass
        assert camera.reconnections == 1
        assert len(said) == 2
        assert "back after" in said[1]
        assert camera.problem is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exception_of_progress_is_shown_and_reading_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    arriving(monkeypatch, [[Still()], [Still()], held(Still())])
    shown: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda given: shown.append(str(given.exc_value)))

    def broken(text: str) -> None:
        raise RuntimeError(text)

    with Camera("rtsp://127.0.0.1/x", progress=broken) as camera:
        while (frame := camera.read(10)) is not None and frame.number < 2:
            pass
        assert frame is not None
        assert camera.reconnections == 2
    assert ["back after" in text for text in shown] == [False, True] * 2


@mostly_http
def test_given_up_after(serve: Serve) -> None:
    server, url = serve()
    with Camera(url, give_up_after=0.5) as camera:
        server.kill()
        with pytest.raises(CameraError, match="given up after"):
            for _ in camera:
                pass


@mostly_http
def test_closing_ends_a_reader_that_waits(serve: Serve) -> None:
    server, url = serve()
    camera = Camera(url, read_timeout=60, open_timeout=60)
    server.freeze()  # the reader's thread now waits for the network, up to a minute
    ended = threading.Event()

    def follow() -> None:
        for _ in camera:
            pass
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    time.sleep(0.5)
    start = time.monotonic()
    camera.close()
    assert time.monotonic() - start < 5  # the timeouts are a minute
    assert ended.wait(5)


@mostly_http
def test_a_program_ends_while_its_camera_hangs(serve: Serve) -> None:
    server, url = serve()
    program = (
        f"from cgsam_edge import Camera\ncamera = Camera({url!r}, read_timeout=2)\nprint('open', flush=True)\ninput()"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    server.freeze()
    child.communicate("\n", timeout=20)
    assert child.returncode == 0


def test_login(serve: Serve) -> None:
    _, url = serve("someone:s3cret!")
    with Camera(url.replace("://", "://someone:s3cret!@")) as camera:
        assert camera.read(5) is not None
        assert "s3cret" not in repr(camera) + camera.name
        assert "someone" not in repr(camera) + camera.name


SHOWS_ALL = """
import sys, logging, traceback
logging.basicConfig(level=0)
from cgsam_edge import Camera
camera = Camera(sys.argv[1], open_timeout=2)
"""


@mostly_http
@pytest.mark.parametrize("path", [None, "/page", "/nothing"])
def test_credentials_are_never_shown(serve: Serve, path: str | None) -> None:
    """Not in the message or the traceback, and not in what FFmpeg itself prints, however much it may."""
    _, url = serve("someone:right")
    wrong = url.replace("://", "://someone:hunter2@") + "?token=t0psecret"
    if path is not None:
        wrong = (
            wrong.replace("someone:hunter2", "someone:right").replace("/cam.mjpg", path).replace("/cam?", f"{path}?")
        )
    loud = {**os.environ, "OPENCV_FFMPEG_DEBUG": "1", "OPENCV_LOG_LEVEL": "VERBOSE", "AV_LOG_FORCE_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SHOWS_ALL, wrong], capture_output=True, text=True, check=False, env=loud, timeout=60
    )
    assert done.returncode == 1
    assert "CameraError" in done.stderr
    for secret in ("hunter2", "t0psecret", "someone", ":right"):
        assert secret not in done.stderr + done.stdout
    assert "***@127.0.0.1" in done.stderr
    if path is None:
        assert "refused the user or the password (401)" in done.stderr


@pytest.mark.parametrize(
    ("kind", "path", "message"),
    [
        ("http", "page", "not a video"),
        ("http", "sound.wav", "a stream without video; it holds audio"),
        ("http", "missing", "no stream of this name"),
        ("http", "silent", "no answer in time"),
        ("rtsp", "sound", "a stream without video; it holds audio"),
        ("rtsp", "missing", "no stream of this name"),
    ],
    indirect=["kind"],
)
def test_what_is_no_camera(serve: Serve, path: str, message: str) -> None:
    server, url = serve()
    limit = 1.5 if path == "silent" else 15  # it takes all of its time; the others answer, on a busy machine late
    start = time.monotonic()
    with pytest.raises(CameraError, match=message) as caught:
        Camera(f"{url.rpartition('/')[0]}/{path}", open_timeout=limit, read_timeout=limit)
    assert time.monotonic() - start < 2 * limit + 5
    assert str(server.port) in str(caught.value)
    assert "av." not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_nobody_there(scheme: str) -> None:
    pytest.importorskip("av")
    with pytest.raises(CameraError, match="nothing accepts connections there"):
        Camera(f"{scheme}://127.0.0.1:{servers.free_port()}/cam")
    nowhere = "x" * 64  # a label has 63 characters at most, so no server of names is asked
    with pytest.raises(CameraError, match=f"no host of the name '{nowhere}' is known"):
        Camera(f"{scheme}://{nowhere}/cam")


@mostly_http
def test_a_camera_as_a_source(serve: Serve, tiny_segmenter: Segmenter) -> None:
    _, url = serve()
    with Camera(url) as camera:
        with closing(tiny_segmenter.stream_images(camera, "car")) as stream:
            for frame, result in stream:
                time.sleep(0.3)  # a slow caller gets newer frames, not a queue
                assert result.image.size == (WIDTH, HEIGHT)
                assert frame.age() < 0.3 + LATE
                if frame.number > 20:
                    break
        assert camera.dropped > 10


@mostly_http
def test_a_stream_can_be_closed_while_its_camera_is_lost(serve: Serve, tiny_segmenter: Segmenter) -> None:
    server, url = serve()
    with Camera(url) as camera:
        stream = tiny_segmenter.stream_images(camera, "car", ahead=3)
        next(stream)
        server.kill()
        time.sleep(0.5)
        stream.close()
        server.start()
        assert camera.read(10) is not None  # the camera itself goes on
