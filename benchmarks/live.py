"""A camera that is faster than the engine: how old the segmented frame is, memory, and how soon a lost camera is back.

    python -m benchmarks.live --minutes 10 --kind rtsp

The server is a process that draws the clock into its pictures, so that ages include its encoder and the way here. The
engine is the shipped bundle's, held to two frames a second.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from cgsam_edge import Camera, Result, Segmenter
from tests.live import servers
from tests.live.clock_picture import milliseconds, number_in

ENGINE_SECONDS = 0.5
ALLOWED = 0.1
"""Seconds beyond the engine's time."""

RECOVERIES = 10
_MEGABYTE = 2**20


@dataclass
class Ages:
    """What was seen of each frame.

    Attributes:
        before: age in seconds at which the engine began.
        after: age of the result.
        engine: the engine's time in seconds.
    """

    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)

    def stale(self) -> int:
        """Return how many frames were too old as the engine began: older than its time and a tenth of a second."""
        return sum(age > ENGINE_SECONDS + ALLOWED for age in self.before)

    def late(self) -> int:
        """Return how many results were older than the engine took for them and a tenth of a second."""
        return sum(age > seconds + ALLOWED for age, seconds in zip(self.after, self.engine, strict=True))


class SlowSegmenter(Segmenter):
    """The shipped model, held to two frames a second."""

    ages: Ages

    def segment(self, image: Any, *arguments: Any, **options: Any) -> Result:
        """Segment, and record how old the picture says that it is."""
        start, drawn = time.monotonic(), number_in(np.asarray(image.image))
        self.ages.before.append((milliseconds() - drawn) / 1000)
        result = super().segment(image, *arguments, **options)
        time.sleep(max(0.0, ENGINE_SECONDS - (time.monotonic() - start)))
        self.ages.engine.append(time.monotonic() - start)
        self.ages.after.append((milliseconds() - drawn) / 1000)
        return result


def _quantiles(name: str, values: list[float]) -> str:
    ordered = sorted(values)
    middle, high = statistics.median(ordered), ordered[int(0.99 * (len(ordered) - 1))]
    return f"{name:<28} median {1000 * middle:5.0f} ms, 99 % {1000 * high:5.0f} ms, most {1000 * ordered[-1]:5.0f} ms"


def follow(kind: str, minutes: float) -> bool:
    """Segment for some minutes; print ages and memory, and return whether they are as promised."""
    ages, segmenter = Ages(), SlowSegmenter()
    segmenter.ages = ages
    with getattr(servers, kind)() as server, segmenter:
        memory: list[float] = []
        until = time.monotonic() + 60 * minutes
        with Camera(_url(kind, server)) as camera, closing(segmenter.stream_images(camera, "car")) as stream:
            for frame, _ in stream:  # noqa: B007 — the last one is printed
                memory.append(psutil.Process().memory_info().rss / _MEGABYTE)
                if time.monotonic() > until:
                    break
            print(f"{kind}: {len(ages.after)} frames segmented in {minutes:g} minutes, {camera.dropped} of "
                  f"{camera.arrived} dropped, last number {frame.number}")  # fmt: skip
    print(_quantiles("engine", ages.engine))
    print(_quantiles("age as the engine begins", ages.before))
    print(_quantiles("age of the result", ages.after))
    bound = f"older than the engine's time and {1000 * ALLOWED:.0f} ms"
    print(f"{bound}: {ages.stale()} frames as the engine began, {ages.late()} results, of {len(ages.after)}")
    tenth = max(1, len(memory) // 10)
    early, late = statistics.median(memory[tenth : 2 * tenth]), statistics.median(memory[-tenth:])
    print(f"memory: {early:.1f} MB in the second tenth, {late:.1f} MB in the last tenth")
    return ages.stale() == 0 and late - early < 0.02 * early


def recover(kind: str) -> bool:
    """End the server and start it again; print how soon the camera's next frame arrives, from when it listens."""
    found = []
    with getattr(servers, kind)() as server, Camera(_url(kind, server), read_timeout=2) as camera:
        for number in range(RECOVERIES):
            camera.read(10)
            server.kill()
            while camera.problem is None:
                time.sleep(0.01)
            while camera.read(0) is not None:
                pass
            threading.Event().wait(0.3 * number)  # dead for up to three seconds, long enough for the longest pause
            server.start()
            start = time.monotonic()
            frame = camera.read(30)
            found.append((frame.monotonic if frame else start + 30) - start)
    print(_quantiles(f"{kind}: back after", found))
    return max(found) < 5


def _url(kind: str, server: servers.Server) -> str:
    path = "rtsp://127.0.0.1:{}/cam" if kind == "rtsp" else "http://127.0.0.1:{}/cam.mjpg"
    return path.format(server.port)


def main() -> int:
    """Measure; the exit code is 1 if something is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kind", choices=("rtsp", "mjpeg"), default="rtsp")
    options = parser.parse_args()
    good = [recover(options.kind), follow(options.kind, options.minutes)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
