"""A measurement as tables, which terminal, Markdown and HTML share."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cgsam_edge.bench.compare import MEASURES, Comparison
from cgsam_edge.bench.energy import NOT_TOLD
from cgsam_edge.bench.measurement import ALL, CLICK, ONE, REST, Cold, Measurement, Row
from cgsam_edge.bench.roofline import distances
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.wording import amount


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: a line above it.
        header: names of the columns.
        rows: cells; the first of a row is its name.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        """Return the table for a terminal: names left-aligned, numbers right-aligned."""
        widths = [max(len(cell) for cell in column) for column in zip(self.header, *self.rows, strict=True)]
        lines = ["  ".join(_aligned(cells, widths)).rstrip() for cells in (self.header, *self.rows)]
        return "\n".join([self.title, *lines])

    def markdown(self) -> str:
        """Return the table as Markdown."""
        rule = "|---|" + "---:|" * (len(self.header) - 1)
        lines = [f"| {' | '.join(cells)} |" for cells in (self.header, *self.rows)]
        return "\n".join([f"**{self.title}**", "", lines[0], rule, *lines[1:]])


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    yield cells[0].ljust(widths[0])
    for cell, width in zip(cells[1:], widths[1:], strict=True):
        yield cell.rjust(width)


def tables(measurement: Measurement, comparison: Comparison | None = None) -> Iterator[Table]:
    """Yield every table that has numbers."""
    measured = [row for row in measurement.rows if row.measured]
    if measured:
        yield _side_by_side(measurement, measured)
        yield _costs(measurement, measured)
    if comparison is not None:
        yield _ratios(measurement, comparison)
    if measured:
        yield _details(measurement, measured)
    if any(row.cold for row in measurement.rows):
        yield _starts(measurement)
    if measurement.bandwidth is not None:
        yield from _limits(measurement, measured)


def kinds(measurement: Measurement) -> dict[str, str]:
    """Return the display names of everything that is timed, in order."""
    many = amount(len(measurement.subject.concepts), "concept")
    graphs = {name: f"graph {name}" for name in GRAPH_NAMES}
    return {ONE: "one concept", ALL: many, CLICK: "one click", **graphs, REST: "the rest"}


def _side_by_side(measurement: Measurement, rows: Sequence[Row]) -> Table:
    many = kinds(measurement)[ALL]
    header = ("median ms, end to end", "one concept", "p90", many, "one click", "images/s")
    cells = [
        (
            row.name,
            number(row.times[ONE].p50),
            number(row.times[ONE].p90),
            number(row.times[ALL].p50),
            number(row.times[CLICK].p50),
            number(row.images_per_second),
        )
        for row in rows
        if {ALL, CLICK} <= row.times.keys()
    ]
    return Table("Side by side, in turns", header, tuple(cells))


def _costs(measurement: Measurement, rows: Sequence[Row]) -> Table:
    joules = "joules/image" if measurement.energy != NOT_TOLD else "energy"
    header = ("", "weights", "peak MB", joules, "mask IoU", "worst", "with PyTorch")
    cells = [
        (
            row.name,
            row.weights,
            "unknown" if row.peak_memory is None else f"{row.peak_memory / 1e6:.0f}",
            NOT_TOLD if row.joules is None else number(row.joules),
            _iou(row.mask_iou),
            _iou(row.worst_mask_iou),
            _iou(row.pytorch_mask_iou),
        )
        for row in rows
    ]
    return Table("Memory, energy and agreement of masks", header, tuple(cells))


def _details(measurement: Measurement, rows: Sequence[Row]) -> Table:
    cells = []
    for row in rows:
        first = row.cold[-1] if row.cold else None
        for kind, name in kinds(measurement).items():
            if kind in row.times:
                cells.append((f"{row.name}: {name}", *_percentiles(row, kind), _first(first, kind)))
    return Table("Milliseconds", ("", "min", "p50", "p90", "p99", "runs", "first run"), tuple(cells))


def _percentiles(row: Row, kind: str) -> tuple[str, ...]:
    one = row.times[kind]
    return (*(number(value) for value in (one.minimum, one.p50, one.p90, one.p99)), str(one.runs))


def _first(cold: Cold | None, kind: str) -> str:
    if cold is None:
        return ""
    return number(1000 * cold.first) if kind == ONE else number(cold.graphs.get(kind), "")


def starts(row: Row) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each kind of start of a row with the median seconds of its parts."""
    for cached, name in ((False, "nothing compiled"), (True, "again")):
        found = [one for one in row.cold if one.cached == cached]
        if found:
            parts: dict[str, Callable[[Cold], float]] = {
                "Python": lambda one: one.start,
                "imports": lambda one: one.imports,
                "opening": lambda one: one.open,
                "first mask": lambda one: one.first,
            }
            yield name, {part: statistics.median(map(get, found)) for part, get in parts.items()}


def _starts(measurement: Measurement) -> Table:
    cells = [
        (f"{row.name}: {name}", *(f"{seconds:.2f}" for seconds in parts.values()), f"{sum(parts.values()):.2f}")
        for row in measurement.rows
        for name, parts in starts(row)
    ]
    header = ("", "Python", "imports", "opening", "first mask", "in all")
    return Table("From nothing to a mask, seconds; the files were in the system's cache", header, tuple(cells))


def _limits(measurement: Measurement, rows: Sequence[Row]) -> Iterator[Table]:
    gigabytes = f"{(measurement.bandwidth or 0) / 1e9:.1f}"
    peaks = [(row.name, *(_giga(rate) for rate in (row.peak.rate, row.peak.int8))) for row in rows if row.peak]
    title = f"Products of matrices, GMAC/s; memory copies {gigabytes} GB/s, read and written"
    yield Table(title, ("", "its arithmetic", "int8"), tuple(peaks))
    cells = [
        (
            f"{one.row}: {one.graph}",
            f"{one.macs / 1e9:.2f}",
            number(one.measured),
            number(one.limit),
            one.bound,
            f"{100 * one.share:.0f} %",
            number(one.int8_limit),
        )
        for one in distances(measurement)
    ]
    header = ("", "GMAC", "ms", "limit ms", "set by", "reached", "int8 limit ms")
    if cells:
        yield Table("How far from that, in the shortest run (GMAC: 10⁹ multiply-adds)", header, tuple(cells))


def _ratios(measurement: Measurement, comparison: Comparison) -> Table:
    names = {
        **kinds(measurement),
        "start": "start",
        "memory": "memory",
        **{g: g for g in GRAPH_NAMES},
        ONE: "one",
        CLICK: "click",
    }
    cells = [
        (row, *(f"{found[name]:.2f}" if name in found else "–" for name in MEASURES))
        for row, found in comparison.ratios.items()
    ]
    header = ("new divided by old", *(names[name] for name in MEASURES))
    return Table("Compared with the earlier measurement: below 1 is less time or memory", header, tuple(cells))


def number(value: float | None, missing: str = "–") -> str:
    """Return a number with three digits or more."""
    if value is None:
        return missing
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _giga(rate: float | None) -> str:
    return "–" if rate is None else f"{rate / 1e9:.0f}"


def _iou(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
