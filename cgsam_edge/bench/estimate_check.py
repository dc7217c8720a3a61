"""The same estimate for this machine, beside what was measured on it: how far an estimate can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cgsam_edge.bench.estimate import IN_INTEGERS, PlannedRun, Taken, disk, groups, memory, times
from cgsam_edge.bench.measure import measure
from cgsam_edge.bench.measurement import Measurement, Row
from cgsam_edge.bench.plan import Options
from cgsam_edge.bench.products import Span
from cgsam_edge.bench.rounds import Progress
from cgsam_edge.bundle import Bundle
from cgsam_edge.manifest import GraphSpec

LAG = (1.0, 4.5)
"""Times as long as plain products of matrices that a bundle takes: at best, and at most in docs/evidence/speed.md."""

_QUICK = Options(runs=6, starts=1, max_concepts=1, roofline=True)


@dataclass(frozen=True)
class MachineCheck:
    """One engine of this machine: what would have been estimated, and what was measured.

    Attributes:
        estimate: from the rate of matrix products that the engine reaches here.
        image: milliseconds measured, the median, as the others.
        concept: likewise.
        click: likewise.
        memory: bytes of the process at its peak; None if the system does not report it.
    """

    estimate: PlannedRun
    image: float
    concept: float
    click: float
    memory: int | None

    @property
    def inside(self) -> bool:
        """Whether all that was measured lies in what was estimated."""
        spans = [
            (self.image, self.estimate.image),
            (self.concept, self.estimate.concept),
            (self.click, self.estimate.click),
        ]
        if self.memory is not None and self.estimate.memory is not None:
            spans.append((self.memory, self.estimate.memory))
        return all(span.low <= value <= span.high for value, span in spans)


def check_machine(bundle: Bundle, progress: Progress = lambda _: None) -> tuple[MachineCheck, ...]:
    """Measure a bundle on this machine, and return it beside the estimate.

    Args:
        bundle: the bundle.
        progress: receives a line at a time.

    Raises:
        BackendError: nothing runs, or this program cannot start a Python.
        BundleError: a file is missing or altered, or the manifest lacks multiply-adds.
    """
    return tuple(checks(bundle, measure(bundle, _QUICK, progress)))


def checks(bundle: Bundle, measurement: Measurement) -> Iterator[MachineCheck]:
    """Yield a line for each row of a measurement that has a rate of matrix products."""
    for row in measurement.rows:
        if row.times and row.peak is not None and row.peak.rate and not row.problem:
            yield _check(bundle, row)


def _check(bundle: Bundle, row: Row) -> MachineCheck:
    target, engine = row.configuration.target, row.configuration.backend
    names = groups(bundle, target)
    image, concept, click = (times(bundle, target, group, _taken_by(row)) for group in names)
    estimate = PlannedRun(
        engine,
        row.configuration.device,
        row.arithmetic,
        image,
        concept,
        click,
        memory=memory(bundle, target, engine),
        disk=disk(bundle, target),
        packages=None,
        source="products of matrices, measured on this machine",
    )
    measured = [sum(row.times[name].p50 for name in group) for group in names]
    peak = max((one.peak_memory or 0 for one in row.cold), default=0)
    return MachineCheck(estimate, measured[0], measured[1], measured[2], peak or None)


def _taken_by(row: Row) -> Taken:
    """Return what estimates a graph from the rate of matrix products."""
    assert row.peak is not None
    floats, ints = row.peak.rate or 0.0, row.peak.int8 or 0.0

    def taken(graph: GraphSpec, macs: int) -> Span:
        best = 1000 * macs / (max(floats, ints) if graph.precision in IN_INTEGERS else floats)
        return Span(LAG[0] * best, LAG[1] * best)

    return taken
