"""Running all configurations in turns, so that drift affects all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from cgsam_edge.bench.child import BenchRequest
from cgsam_edge.bench.energy import Meter
from cgsam_edge.bench.measurement import ALL, CLICK, ONE
from cgsam_edge.bench.plan import Options
from cgsam_edge.bench.tally import Tally
from cgsam_edge.bench.watch import Watch
from cgsam_edge.bench.worker import Worker
from cgsam_edge.errors import BackendError

Progress = Callable[[str], None]

_TURN = 3
"""Consecutive runs in one turn: few, so that drift is shared."""

_SHORT = 500.0
"""Milliseconds; a faster configuration is run once before each turn, because the caches hold another engine's data."""

_SETTLE = 0.02
"""Seconds between two turns, in which the previous engine's threads stop waiting for work."""

_ROOM = 0.8
"""Share of the free memory that children open at the same time may need."""


class Rounds:
    """Measures all configurations in turns.

    Args:
        options: how.
        requests: what a child opens, by the configuration's key.
        folder: for the engines' caches and for masks.
        watch: records the state of the machine.
        meter: reads energy.
        progress: receives lines of progress.
    """

    def __init__(
        self,
        options: Options,
        requests: dict[str, BenchRequest],
        folder: Path,
        watch: Watch,
        meter: Meter,
        progress: Progress,
    ) -> None:
        self._options, self._requests, self._folder = options, requests, folder
        self._watch, self._meter, self._progress = watch, meter, progress

    def start_cold(self, tallies: Sequence[Tally], *, cached: bool) -> None:
        """Start, open, segment once and end, each in its turn.

        Args:
            tallies: what to start; those with a problem are left out.
            cached: whether an earlier start has left compiled graphs.
        """
        for tally in tallies:
            if tally.problem:
                continue
            with _noting(tally):
                self._worker(tally, cached=cached).close()
            told = tally.problem or f"{tally.cold[-1].total:.2f} s to the first mask"
            self._progress(f"{'another' if cached else 'the first'} start of {tally.configuration.key}: {told}")

    def run(self, tallies: Sequence[Tally]) -> None:
        """Take turns until all runs are done and the minutes are over; one that fails keeps its results."""
        with ExitStack() as stack:
            open_: list[tuple[Tally, Worker]] = []
            for tally in tallies:
                with _noting(tally):
                    worker = stack.enter_context(self._worker(tally, cached=True))
                    open_.append((tally, worker))
                    self._prepare(tally, worker)
            self._rounds(open_)

    def _worker(self, tally: Tally, *, cached: bool) -> Worker:
        key = tally.configuration.key
        worker = Worker(self._requests[key], self._folder / "cache" / key.replace(" ", "-"), cached=cached)
        tally.cold.append(worker.cold)
        tally.facts = worker.facts
        return worker

    def _prepare(self, tally: Tally, worker: Worker) -> None:
        file = self._folder / "masks.npy"
        answer = worker.ask({"do": "masks", "file": str(file)}, "comparing masks", self._many)
        tally.masks, tally.pytorch = np.load(file), answer["pytorch"]

    @property
    def _many(self) -> int:
        """Upper bound of the runs in one command, from which the time limit of a child follows."""
        return 4 * (self._options.max_concepts + 1)

    def _rounds(self, open_: list[tuple[Tally, Worker]]) -> None:
        count = -(-self._options.runs // _TURN)
        began, number = time.perf_counter(), 0
        self._watch.begin([worker for _, worker in open_])
        while number < count or time.perf_counter() - began < 60 * self._options.minutes:
            timed = min(_TURN, self._options.runs - number * _TURN) if number < count else _TURN
            shift = number % max(len(open_), 1)  # so that no configuration always follows the same one
            for tally, worker in open_[shift:] + open_[:shift]:
                if not tally.problem:
                    self._turn(tally, worker, timed, peak=number in (0, count - 1))
            self._watch.look()
            number += 1
            self._tell(number, count, time.perf_counter() - began)
            if all(tally.problem for tally, _ in open_):
                return

    def _turn(self, tally: Tally, worker: Worker, timed: int, *, peak: bool) -> None:
        time.sleep(_SETTLE)
        with _noting(tally):
            last = tally.times[ONE][-1:]
            if not last or last[0] < _SHORT:
                worker.ask({"do": ONE, "times": 1})
            before = self._meter.joules()
            tally.add(ONE, worker.ask({"do": ONE, "times": timed}, steps=self._many), self._watch.now)
            after = self._meter.joules()
            if before is not None and after is not None:
                tally.joules.append((after - before) / timed)
            tally.add(CLICK, worker.ask({"do": CLICK, "times": timed}, steps=self._many), self._watch.now)
            tally.add(ALL, worker.ask({"do": ALL, "times": 1}, steps=self._many), self._watch.now)
            if self._options.roofline and peak:
                tally.peaks.append(worker.ask({"do": "peak"}, "multiplying matrices", self._many))

    def _tell(self, number: int, count: int, seconds: float) -> None:
        left = max(seconds / number * (count - number), 60 * self._options.minutes - seconds)
        self._progress(f"round {number}{f' of {count}' if number <= count else ''}, about {max(left, 0):.0f} s left")


@contextmanager
def _noting(tally: Tally) -> Iterator[None]:
    """Record a failure as the configuration's problem, and continue with the others."""
    try:
        yield
    except BackendError as error:
        tally.problem = str(error)


def groups(tallies: Sequence[Tally], available: int | None) -> Iterator[list[Tally]]:
    """Yield groups that fit into memory together; a single group if the free memory is unknown.

    Args:
        tallies: after their cold starts, from which their memory is known.
        available: bytes.
    """
    group: list[Tally] = []
    for tally in tallies:
        if group and available is not None and sum(t.memory for t in (*group, tally)) > _ROOM * available:
            yield group
            group = []
        group.append(tally)
    if group:
        yield group
