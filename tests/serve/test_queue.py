"""The queue: it is bounded, its time is bounded, and work that nobody waits for is dropped."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from cgsam_edge import Segmenter
from cgsam_edge.serve.kept_images import handle_of
from cgsam_edge.serve.refusal import Refusal
from cgsam_edge.serve.work_queue import Turn, WorkQueue
from tests.conftest import slow
from tests.serve.running import FORM, Client, form, running, until


async def never() -> None:
    await asyncio.Event().wait()


async def settled(condition: Callable[[], bool]) -> None:
    """Let other tasks go on until something holds."""
    while not condition():  # noqa: ASYNC110 — the queue has no event to wait for
        await asyncio.sleep(0.001)


def test_what_has_no_place_is_refused_at_once() -> None:
    go, ran = threading.Event(), []

    async def scenario() -> None:
        queue = WorkQueue(workers=1, waiting=2)

        def work(i: int) -> Callable[[Turn], None]:
            def append(_: Turn) -> None:
                go.wait(10)
                ran.append(i)

            return append

        tasks = [asyncio.create_task(queue.run(work(i), 10, never)) for i in range(3)]
        await settled(lambda: queue.waiting == 2)
        with pytest.raises(Refusal, match="2 requests waiting already") as refused:
            await queue.run(lambda _: ran.append(9), 10, never)
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "1")
        go.set()
        await asyncio.gather(*tasks)
        assert ran == [0, 1, 2]
        await queue.run(lambda _: ran.append(3), 10, never)  # there is place again
        assert queue.waiting == 0
        queue.close()
        with pytest.raises(Refusal, match="stopping"):
            await queue.run(lambda _: None, 10, never)

    asyncio.run(scenario())
    assert ran == [0, 1, 2, 3]


def test_the_time_is_bounded_and_what_waits_is_dropped() -> None:
    go, ran, turns = threading.Event(), [], list[Turn]()

    async def scenario() -> None:
        queue = WorkQueue(workers=1, waiting=2)

        def long(turn: Turn) -> None:
            turns.append(turn)
            go.wait()

        with pytest.raises(Refusal, match=r"no answer within 0\.5 s") as late:
            await queue.run(long, 0.5, never)
        assert late.value.status == 503
        assert turns[0].left == 0  # so that the engine begins no further concept
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(queue.run(lambda _: ran.append(1), 10, lambda: gone))
        await settled(lambda: queue.waiting == 1)
        gone.set_result(None)
        with pytest.raises(Refusal, match="closed the connection"):
            await waiting
        go.set()
        await queue.run(lambda _: ran.append(2), 10, never)
        queue.close()

    asyncio.run(scenario())
    assert ran == [2]


def test_what_is_dropped_is_not_kept_in_memory() -> None:
    """The pool holds what waits until its place comes up; the picture must not wait with it."""
    go = threading.Event()

    def work(picture: io.BytesIO, _: Turn) -> int:
        return len(picture.getvalue())

    async def scenario() -> None:
        queue = WorkQueue(workers=1, waiting=2)
        first = asyncio.create_task(queue.run(lambda _: go.wait(10), 10, never))
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        picture = io.BytesIO(b"a picture")
        seen = weakref.ref(picture)
        waiting = asyncio.create_task(queue.run(partial(work, picture), 10, lambda: gone))
        del picture
        await settled(lambda: queue.waiting == 1)
        gone.set_result(None)
        with pytest.raises(Refusal, match="closed the connection"):
            await waiting
        del waiting
        gc.collect()
        assert seen() is None
        go.set()
        await first
        queue.close()

    asyncio.run(scenario())


def test_what_would_wait_too_long_is_refused_at_once() -> None:
    """The queue knows how long work takes: it takes no more than it can answer in time."""
    go = threading.Event()

    async def scenario() -> None:
        queue = WorkQueue(workers=1, waiting=100)
        await queue.run(lambda _: time.sleep(0.2), 10, never)
        tasks = [asyncio.create_task(queue.run(lambda _: go.wait(10), 10, never)) for _ in range(3)]
        await settled(lambda: queue.waiting == 2)
        with pytest.raises(Refusal, match="3 requests before this one") as refused:
            await queue.run(lambda _: None, 0.5, never)
        assert refused.value.status == 429
        last = asyncio.create_task(queue.run(lambda _: True, 10, never))  # with more time, it is taken
        await settled(lambda: queue.waiting == 3)
        go.set()
        assert await last
        await asyncio.gather(*tasks)
        queue.close()

    asyncio.run(scenario())


def test_a_full_queue_over_http(segmenter: Segmenter, street: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    encode = Segmenter.encode

    def slow(self: Segmenter, image: object) -> object:
        go.wait(20)
        return encode(self, image)

    monkeypatch.setattr(Segmenter, "encode", slow)
    with running(segmenter, waiting=1) as client, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(client.form, "/images", street) for _ in range(2)]
        until(lambda: b"cgsam_waiting_requests 1.0" in client.get("/metrics").body)
        refused = client.form("/images", street)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert "1 request waiting already" in refused.detail
        assert client.get("/health").status == 200  # which needs no engine
        head = f"POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: 1000\r\n\r\n"
        assert b" 429 " in client.raw(head.encode())  # before its body, which never comes
        go.set()
        assert [one.result().status for one in asked] == [200, 200]
        counted = client.get("/metrics").body.decode()
        assert 'cgsam_requests_total{path="/images",status="429"} 2.0' in counted
        assert 'cgsam_requests_total{path="/images",status="200"} 2.0' in counted


def test_a_client_that_leaves_is_forgotten(
    segmenter: Segmenter, street: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """While it uploads, and while it waits for the engine: its work is then never begun."""
    go, encoded = threading.Event(), list[int]()
    encode = Segmenter.encode

    def slow(self: Segmenter, image: object) -> object:
        encoded.append(1)
        go.wait(20)
        return encode(self, image)

    monkeypatch.setattr(Segmenter, "encode", slow)
    with running(segmenter) as client, ThreadPoolExecutor(1) as pool:

        def metrics() -> str:
            return client.get("/metrics").body.decode()

        head = f"POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: "
        with socket.create_connection(("127.0.0.1", client.port)) as leaving:
            leaving.sendall(f"{head}1000\r\n\r\n--edge".encode())
        until(lambda: 'cgsam_requests_total{path="/images",status="499"} 1.0' in metrics())
        first = pool.submit(client.form, "/images", street)
        until(lambda: len(encoded) == 1)
        other = form(street + b"\0")
        with socket.create_connection(("127.0.0.1", client.port)) as leaving:
            leaving.sendall(f"{head}{len(other)}\r\n\r\n".encode() + other)
            until(lambda: "cgsam_waiting_requests 1.0" in metrics())
        until(lambda: "cgsam_waiting_requests 0.0" in metrics())
        go.set()
        assert first.result().status == 200
    assert len(encoded) == 1
    assert capfd.readouterr() == ("", "")


def test_an_answer_that_takes_too_long(segmenter: Segmenter, street: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    encode = Segmenter.encode
    monkeypatch.setattr(Segmenter, "encode", lambda self, image: (go.wait(20), encode(self, image))[1])
    with running(segmenter, timeout=0.2) as client:
        answer = client.form("/segment", street)
        assert (answer.status, "no answer within 0.2 s" in answer.detail) == (503, True)
        go.set()


def test_pictures_are_dropped_by_their_bytes(segmenter: Segmenter, street: bytes) -> None:
    with running(segmenter, image_memory=1) as client:
        first = client.form("/images", street).json["image"]
        assert first == handle_of(street)
        assert client.json("/segment", {"image": first, "concepts": ["car"]}).status == 200  # the newest is kept
        second = client.form("/images", street + b"\0").json
        assert second["kept"] is False
        assert client.json("/segment", {"image": first}).status == 404
        assert b"cgsam_kept_images 1.0" in client.get("/metrics").body


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM for a child")
@pytest.mark.parametrize("number", [signal.SIGTERM, slow(signal.SIGINT)])
def test_a_signal_stops_it_once_what_runs_is_answered(street: bytes, number: int, tmp_path: Path) -> None:
    code = "import sys; from cgsam_edge.cli import main; sys.exit(main(sys.argv[1:]))"
    options = ("serve", "--port", "0", "--threads", "1", "--backend", "onnxruntime")
    process = subprocess.Popen(
        [sys.executable, "-c", code, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "this machine alone can reach it" in line
    client = Client(int(line.split("127.0.0.1:")[1].split("/")[0]))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.form, "/segment", street)
        until(lambda: b'part_seconds_count{part="queue"}' in client.get("/metrics").body or asked.done())
        process.send_signal(number)
        assert asked.result().status == 200
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, out.strip(), errors) == (0, "stopped.", "")


def test_work_of_different_lengths_gets_a_margin() -> None:
    """Works of 1 and 3 seconds are expected to take longer than their mean; equal ones are not."""
    equal, mixed = WorkQueue(workers=1, waiting=2), WorkQueue(workers=1, waiting=2)
    for i in range(60):
        equal._learn(2.0)
        mixed._learn(1.0 if i % 2 else 3.0)
    assert equal._usual() == pytest.approx(2.0)
    assert 2.5 < mixed._usual() < 3.5
