"""How far each graph is from the machine's limits: the rates of matrix products and of memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cgsam_edge.bench.measurement import Measurement, Row
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.runtimes.protocol import cores

_BYTES = 256 * 2**20
"""Bytes to copy: more than any cache holds."""

_REPEATS = 5


@dataclass(frozen=True)
class Distance:
    """One graph of one row against the machine.

    Attributes:
        row: its name.
        graph: which.
        macs: multiply-adds.
        rate: multiply-adds a second, in the shortest run: the peak is also that of a shortest run.
        peak: the engine's rate in the same arithmetic.
        limit: milliseconds that the graph would take at the peak, or to read its weights, whichever is longer.
        measured: milliseconds of the shortest run.
        bound: "products" or "memory": which of the two limits it is.
        int8_limit: milliseconds at the engine's peak with 8-bit integers; None if it has none.
    """

    row: str
    graph: str
    macs: int
    rate: float
    peak: float
    limit: float
    measured: float
    bound: str
    int8_limit: float | None

    @property
    def share(self) -> float:
        """Share of the limit that is reached, 0 to 1."""
        return self.limit / self.measured


def bandwidth(threads: int | None) -> float:
    """Return bytes a second that copying a large array reads and writes together, the best of a few copies."""
    count = threads or cores()
    source = np.ones(_BYTES // 8, np.float64)
    copy = np.empty_like(source)
    parts = list(zip(np.array_split(source, count), np.array_split(copy, count), strict=True))
    times = []
    with ThreadPoolExecutor(count) as pool:
        for _ in range(_REPEATS):
            start = time.perf_counter()
            list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))  # which releases Python's lock
            times.append(time.perf_counter() - start)
    return 2 * source.nbytes / min(times)


def distances(measurement: Measurement) -> Iterator[Distance]:
    """Yield a line for each graph of each row, where the multiply-adds and the peak are known."""
    for row in measurement.rows:
        for graph in GRAPH_NAMES:
            if graph in measurement.subject.macs and graph in row.times and row.peak and row.peak.rate:
                yield _distance(measurement, row, graph, row.peak.rate)


def _distance(measurement: Measurement, row: Row, graph: str, peak: float) -> Distance:
    macs, measured = measurement.subject.macs[graph], row.times[graph].minimum
    computing = 1000 * macs / peak
    stored = measurement.subject.weights.get(row.configuration.target, {}).get(graph, 0)
    reading = 1000 * stored / measurement.bandwidth if measurement.bandwidth else 0.0
    int8 = row.peak.int8 if row.peak else None
    return Distance(
        row=row.name,
        graph=graph,
        macs=macs,
        rate=1000 * macs / measured,
        peak=peak,
        limit=max(computing, reading),
        measured=measured,
        bound="memory" if reading > computing else "products",
        int8_limit=1000 * macs / int8 if int8 else None,
    )
