"""Many clients at once against `cgsam serve`: no error but 429, latency bounded by the queue, memory flat.

    python -m benchmarks.serve_load --clients 64 --minutes 5

Starts a server with the shipped bundle in another process. A third of the requests upload a new picture and segment
all concepts, a third click on a picture that was uploaded, a third upload a picture again. A client that has uploaded
none yet, or whose picture was dropped for newer ones, uploads it instead of the click, in another row of the table.
Each client sends its next request as soon as it has an answer; after a refusal it waits as long as ``Retry-After``
says, and up to half as long again. Prints a Markdown table, and fails if anything else than 200 and 429 came back (404
for a dropped picture aside), if an answer took longer than a full queue explains, or if memory grew.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import psutil
from PIL import Image

from cgsam_edge.quality.scenes.render import render

SERIES, SCENES = 11, 6
GROWTH_LIMIT = 0.03
"""Largest growth of the server's memory from the second fifth of the run to the last; before that, caches fill."""

IMAGE_MEMORY = 128
"""Megabytes of pictures that the server keeps: few, so that they fill up at once, even on a slow machine."""

PAUSE = 1.0
"""Seconds after a refusal that names none."""

ROWS = {
    "new": "a new picture, all concepts",
    "click": "a click on a kept picture",
    "upload": "a picture sent instead of a click",
    "again": "a picture sent again",
}
"""What was sent, and its name in the table. After a 404, "upload" includes the click that was answered so."""

BOUNDARY = "edge"
COMMAND = "import sys; from cgsam_edge.cli import main; sys.exit(main(sys.argv[1:]))"


@dataclass
class Seen:
    """What came back, from all clients.

    Attributes:
        statuses: how often each status, or each error of a connection, came back.
        seconds: of the answers, by what was sent, a key of ``ROWS``.
        memory: resident bytes of the server, once a second.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {sent: [] for sent in ROWS})
    memory: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class LoadClient:
    """One client: a connection that stays open, and its pictures.

    Args:
        port: the server's.
        number: the client's.
        seen: where answers are counted.

    Attributes:
        handle: of the picture that clicks are sent for; empty where the server has none.
    """

    def __init__(self, port: int, number: int, seen: Seen) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._random = random.Random(number)  # noqa: S311 — no secret
        self._scene = render(SERIES, number % SCENES).image
        self._picture = _png(self._scene)
        self.handle = ""
        self._pause = PAUSE
        self._seen = seen

    def run(self, until: float) -> None:
        """Send requests until a time."""
        while time.monotonic() < until:
            wanted = self._random.choice(["new", "click", "again"])
            sent, started = wanted, time.perf_counter()
            try:
                sent, code = self.send(wanted)
                status = str(code)
            except (BrokenPipeError, ConnectionResetError):  # refused while it still sent, and closed
                self._connection.close()
                status = "closed early"
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                status = type(error).__name__
            with self._seen.lock:
                self._seen.statuses[status] += 1
                if status == "200":
                    self._seen.seconds[sent].append(time.perf_counter() - started)
            if status != "200":
                time.sleep(self._pause * self._random.uniform(1, 1.5))

    def send(self, wanted: str) -> tuple[str, int]:
        """Send a request.

        Args:
            wanted: ``"new"``, ``"click"`` or ``"again"``.

        Returns:
            What was sent, a key of ``ROWS``, and the status of the answer.
        """
        if wanted == "new":
            return "new", self._upload("/segment", self._changed())[0]
        if wanted == "click" and self.handle:
            status = self._click()
            if status != 404:
                return "click", status
            self.handle = ""  # dropped for newer pictures, as it may be
        status, answer = self._upload("/images", self._picture)
        if status == 200:
            self.handle = json.loads(answer)["image"]
        return ("upload" if wanted == "click" else "again"), status

    def _click(self) -> int:
        size = self._scene.shape[0]
        point = [self._random.uniform(0, size), self._random.uniform(0, size)]
        return self._post("/segment", _json(self.handle, point), "application/json")[0]

    def _upload(self, path: str, picture: bytes) -> tuple[int, bytes]:
        return self._post(path, _form(picture), f"multipart/form-data; boundary={BOUNDARY}")

    def _changed(self) -> bytes:
        scene = self._scene.copy()
        scene[:2, :2] = np.frombuffer(self._random.randbytes(12), np.uint8).reshape(2, 2, 3)
        return _png(scene)

    def _post(self, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent: the answer is there
            self._connection.request("POST", path, body, {"content-type": kind})
        answer = self._connection.getresponse()
        self._pause = float(answer.headers.get("Retry-After", PAUSE))
        return answer.status, answer.read()


def _png(scene: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(scene).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _json(handle: str, point: list[float]) -> bytes:
    return json.dumps({"image": handle, "prompts": [{"concept": "car", "points": [point]}]}).encode()


def _form(picture: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="street.png"\r\n\r\n'
    return head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()


def main() -> int:
    """Run the load, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--waiting", type=int, default=32)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--threads", type=int, default=0, help="of the engine (default: all cores)")
    options = parser.parse_args()
    command = ["serve", "--port", "0", "--backend", options.backend, "--waiting", str(options.waiting)]
    command += ["--image-memory", str(IMAGE_MEMORY)]
    command += ["--threads", str(options.threads)] if options.threads else []
    server = subprocess.Popen([sys.executable, "-c", COMMAND, *command], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if found is None:
            raise SystemExit(f"the server did not start: {line}")
        seen = _load(int(found.group(1)), server.pid, options)
        numbers = _metrics(int(found.group(1)))
    finally:
        server.terminate()
        code = server.wait(60)
    problems = _print(seen, numbers, options)
    problems += [f"the server ended with code {code}"] if code else []
    for problem in problems:
        print(f"FAILED: {problem}")
    return 1 if problems else 0


def _load(port: int, process: int, options: argparse.Namespace) -> Seen:
    seen = Seen()
    until = time.monotonic() + 60 * options.minutes
    clients = [LoadClient(port, number, seen) for number in range(options.clients)]
    threads = [threading.Thread(target=client.run, args=(until,)) for client in clients]
    for thread in threads:
        thread.start()
    watched = psutil.Process(process)
    while any(thread.is_alive() for thread in threads):
        seen.memory.append(watched.memory_info().rss)
        time.sleep(1)
    return seen


def _metrics(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def _print(seen: Seen, numbers: str, options: argparse.Namespace) -> list[str]:
    print(f"{options.clients} clients, {options.minutes:g} minutes, {options.backend}, {options.waiting} may wait\n")
    print("| request | answers | median | p99 | longest |\n|---|---|---|---|---|")
    for sent, seconds in seen.seconds.items():
        if not seconds:
            print(f"| {ROWS[sent]} | 0 | | | |")
            continue
        middle, late = np.percentile(seconds, [50, 99])
        print(f"| {ROWS[sent]} | {len(seconds)} | {middle:.2f} s | {late:.2f} s | {max(seconds):.2f} s |")
    everything = np.concatenate([np.asarray(one) for one in seen.seconds.values()])
    slowest = _slowest_work(numbers)
    bound = (options.waiting + 1) * slowest
    late = float(np.percentile(everything, 99))
    fifth = max(1, len(seen.memory) // 5)
    early, last = float(np.mean(seen.memory[fifth : 2 * fifth])), float(np.mean(seen.memory[-fifth:]))
    print(f"\nstatuses: {dict(seen.statuses)}")
    print(f"p99 {late:.2f} s; a full queue of the slowest works explains {bound:.2f} s ({slowest:.2f} s each)")
    print(f"memory {early / 1e6:.0f} MB, then {last / 1e6:.0f} MB ({100 * (last / early - 1):+.1f} %)")
    others = set(seen.statuses) - {"200", "429"}
    problems = [f"other answers: {sorted(others)}"] if others else []
    problems += [f"p99 {late:.2f} s is over {bound:.2f} s"] if late > bound else []
    problems += ["memory grew"] if last > early * (1 + GROWTH_LIMIT) else []
    return problems


def _slowest_work(numbers: str) -> float:
    """Return the seconds, rounded up to a histogram's edge, that 99 of 100 requests keep the engine busy."""
    return sum(_percentile(numbers, part) for part in ("image", "concepts"))


def _percentile(numbers: str, part: str) -> float:
    pattern = rf'cgsam_part_seconds_bucket{{le="([^"]+)",part="{part}"}} (\S+)'
    buckets = [(float(edge), float(count)) for edge, count in re.findall(pattern, numbers)]
    wanted = 0.99 * buckets[-1][1]
    for (_, before), (edge, count) in pairwise([(0.0, 0.0), *buckets]):
        if before < wanted <= count:
            return edge
    return buckets[-1][0]


if __name__ == "__main__":
    raise SystemExit(main())
