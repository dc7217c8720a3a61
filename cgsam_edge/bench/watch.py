"""Recording the state of the machine during a measurement."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from cgsam_edge.bench.measurement import Sample
from cgsam_edge.bench.sensors import Sensors


class Worked(Protocol):
    """An object that knows how long it computed."""

    cpu: float


class Watch:
    """Takes samples of the machine.

    Args:
        sensors: of the machine.

    Attributes:
        samples: taken so far.
    """

    def __init__(self, sensors: Sensors) -> None:
        self._sensors = sensors
        self._zero = time.perf_counter()
        self._workers: Sequence[Worked] = ()
        self.samples: list[Sample] = []
        self.begin(())

    @property
    def now(self) -> float:
        """Seconds since the watch was made."""
        return time.perf_counter() - self._zero

    def begin(self, workers: Sequence[Worked]) -> None:
        """Name the children, whose work does not count as other programs', and count from now on."""
        self._workers = workers
        self._last = self._sensors.cpu_time(), self._ours(), self.now

    def look(self) -> Sample:
        """Take and return a sample."""
        memory = self._sensors.memory()
        others, stolen = self._load()
        sample = Sample(
            self.now,
            self._sensors.temperature(),
            self._sensors.clock(),
            None if memory is None else memory[1],
            others,
            stolen,
        )
        self.samples.append(sample)
        return sample

    def _ours(self) -> float:
        return time.process_time() + sum(worker.cpu for worker in self._workers)

    def _load(self) -> tuple[float | None, float | None]:
        """Return the cores that other programs kept busy since the last call, and the share that the host took."""
        (before, ours_before, then), (after, ours, now) = self._last, (self._sensors.cpu_time(), self._ours(), self.now)
        self._last = after, ours, now
        if before is None or after is None or after.total <= before.total:
            return None, None
        busy = after.busy - before.busy - (ours - ours_before)
        return max(busy / (now - then), 0.0), (after.stolen - before.stolen) / (after.total - before.total)
