"""What the child process of one contender does; see `cgsam_edge.runtimes.child`.

It takes a `Request` and then commands, and answers each. Nothing heavy is imported before: what imports cost belongs to
the cold start.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cgsam_edge.runtimes.child import Requests, Say

if TYPE_CHECKING:
    from benchmarks.runners import Request, Runner


class _Measured:
    """Times a runner.

    Args:
        request: what to open.
    """

    def __init__(self, request: Request) -> None:
        import numpy as np

        from benchmarks.runners import RUNNERS

        self._picture: Any = np.load(request.picture) if request.picture.endswith(".npy") else request.picture
        self._concepts = request.concepts
        self._runner: Runner = RUNNERS[request.runner](request)
        self._click: Callable[[], object] | None = None

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command: "masks" of ``count`` concepts or "click", ``times``; or "logits" into ``file``."""
        what = command["do"]
        if what == "logits":
            return self._logits(command["file"])
        if what == "click":
            return self._repeat(self._clicking(), command["times"])
        count = command["count"]
        return self._repeat(lambda: self._runner.masks(self._picture, count), command["times"])

    def _clicking(self) -> Callable[[], object]:
        """Return a click; the first is not timed, so that all find the graph warm."""
        if self._click is None:
            self._click = self._runner.encode(self._picture)
            self._click()
        return self._click

    def _logits(self, file: str) -> dict[str, Any]:
        import numpy as np

        np.save(file, self._runner.logits(self._picture, self._concepts))
        return _told([])

    def _repeat(self, work: Callable[[], object], times: int) -> dict[str, Any]:
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            work()
            taken.append(1000 * (time.perf_counter() - start))
        return _told(taken)


def _told(milliseconds: list[float]) -> dict[str, Any]:
    from cgsam_edge.bench.memory import peak_memory

    return {"milliseconds": milliseconds, "peak_memory": peak_memory(), "cpu": time.process_time()}


def serve(requests: Requests, say: Say) -> None:
    """Open, segment once, and then carry out commands until the parent closes the pipe."""
    request = next(requests)
    from benchmarks.runners import Request

    measured = _Measured(Request(**request))
    say(measured.obey({"do": "masks", "count": 1, "times": 1}))
    for command in requests:
        say(measured.obey(command))
