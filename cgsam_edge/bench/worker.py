"""A child process that has opened a bundle and measures it; `child` is the other side."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from cgsam_edge.bench.child import Request
from cgsam_edge.bench.report import Cold
from cgsam_edge.bench.talk import Talk
from cgsam_edge.runtimes import cache, children


class Worker(Talk):
    """A child that has opened a bundle and segmented once; a context manager that ends it.

    It takes the commands of `Bencher.obey`.

    Args:
        request: what it opens.
        cache_folder: in place of the user's, for what the engine compiles.
        cached: whether an earlier child had filled that folder.

    Attributes:
        cold: what its start took.
        facts: "arithmetic" and "threads", as the engine tells.

    Raises:
        BackendError: the engine cannot open or run the bundle, crashed or hangs.
    """

    def __init__(self, request: Request, cache_folder: Path, *, cached: bool) -> None:
        super().__init__("cgsam_edge.bench.child", {**children.environment(), cache.ENVIRONMENT: str(cache_folder)})
        try:
            self.cold, self.facts = self._start(request, cached=cached)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Worker:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def _start(self, request: Request, *, cached: bool) -> tuple[Cold, dict[str, Any]]:
        self.send(asdict(request))
        up, _ = self.next("starting")
        imported, _ = self.next("importing")
        loaded, _ = self.next("reading the bundle")
        opened, _ = self.next("opening the graphs")
        done, first = self.next("segmenting for the first time", 3)
        seconds = (up - self.started, imported - up, opened - loaded, done - opened)
        return Cold(cached, *seconds, first["first"], first["peak_memory"]), first
