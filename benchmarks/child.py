"""The child process of one contender; see `cgsam_edge.runtimes.child`.

It takes a `Request` and then commands, and answers each. Nothing heavy is imported before, because the cold start
includes imports.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.runtimes.child import Requests, Say

if TYPE_CHECKING:
    from benchmarks.runners import Request, Runner


class _Measured:
    """Times a runner.

    Args:
        request: what it opens.
    """

    def __init__(self, request: Request) -> None:
        import numpy as np

        from benchmarks.runners import RUNNERS

        self._picture: Any = np.load(request.picture) if request.picture.endswith(".npy") else request.picture
        self._concepts, self._bundle = request.concepts, request.bundle
        self._runner: Runner = RUNNERS[request.runner](request)
        self._click: Callable[[], object] | None = None

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command: "masks" of ``count`` concepts or "click", ``times``; or "logits" into ``file``.

        "labelled" writes the class mIoU on some rendered ``scenes`` of a ``series`` into ``file``.
        """
        what = command["do"]
        if what == "labelled":
            return self._labelled(command["file"], command["series"], command["scenes"])
        if what == "logits":
            return self._logits(command["file"])
        if what == "click":
            return self._repeat(self._clicking(), command["times"])
        count = command["count"]
        return self._repeat(lambda: self._runner.masks(self._picture, count), command["times"])

    def _clicking(self) -> Callable[[], object]:
        """Return a click; the first is not timed, so that the graph is warm for all others."""
        if self._click is None:
            self._click = self._runner.encode(self._picture)
            self._click()
        return self._click

    def _logits(self, file: str) -> dict[str, Any]:
        import numpy as np

        np.save(file, self._runner.logits(self._picture, self._concepts))
        return _told([])

    def _labelled(self, file: str, series: int, scenes: int) -> dict[str, Any]:
        from benchmarks.labelled import class_miou_of

        write_json(file, {"class_miou": class_miou_of(self._runner, self._bundle, series, scenes), "scenes": scenes})
        return _told([])

    def _repeat(self, work: Callable[[], object], times: int) -> dict[str, Any]:
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            work()
            taken.append(1000 * (time.perf_counter() - start))
        return _told(taken)


def write_json(file: str, content: dict[str, Any]) -> None:
    """Write a small JSON file."""
    Path(file).write_text(json.dumps(content), encoding="utf-8")


def _told(milliseconds: list[float]) -> dict[str, Any]:
    from cgsam_edge.bench.memory import peak_memory

    return {"milliseconds": milliseconds, "peak_memory": peak_memory(), "cpu": time.process_time()}


def serve(requests: Requests, say: Say) -> None:
    """Open, segment once, and then run commands until the parent closes the pipe."""
    request = next(requests)
    from benchmarks.runners import Request

    measured = _Measured(Request(**request))
    say(measured.obey({"do": "masks", "count": 1, "times": 1}))
    for command in requests:
        say(measured.obey(command))
