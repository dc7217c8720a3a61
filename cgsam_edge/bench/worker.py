"""A child process that has opened a bundle and measures it; `child` is the other side."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from cgsam_edge.bench.child import BenchRequest
from cgsam_edge.bench.measurement import Cold
from cgsam_edge.runtimes import cache
from cgsam_edge.runtimes.children import Child


class Worker(Child):
    """A child that has opened a bundle and segmented once; a context manager that ends it.

    It takes the commands of `Bencher.obey`.

    Args:
        request: what it opens.
        cache_folder: replaces the user's cache folder for compiled graphs.
        cached: whether an earlier child has filled that folder.

    Attributes:
        cold: times of its start.
        facts: "arithmetic" and "threads", as the engine reports them.

    Raises:
        ChildError: the engine cannot open or run the bundle, crashed, or hung.
        NoChildError: this program cannot start a separate Python process.
    """

    def __init__(self, request: BenchRequest, cache_folder: Path, *, cached: bool) -> None:
        super().__init__("cgsam_edge.bench.child", {cache.ENVIRONMENT: str(cache_folder)})
        try:
            self.cold, self.facts = self._first(request, cached=cached)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Worker:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def _first(self, request: BenchRequest, *, cached: bool) -> tuple[Cold, dict[str, Any]]:
        self.send(asdict(request))
        imported, _ = self.next("importing")
        loaded, _ = self.next("reading the bundle")
        opened, _ = self.next("opening the graphs")
        done, first = self.next("segmenting for the first time", 3)
        seconds = (self.greeted - self.started, imported - self.greeted, opened - loaded, done - opened)
        return Cold(cached, *seconds, first["first"], first["peak_memory"]), first
