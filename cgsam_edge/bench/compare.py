"""Compares a measurement with an earlier one."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cgsam_edge.bench.measurement import ALL, CLICK, ONE, Measurement, Row
from cgsam_edge.manifest import GRAPH_NAMES

MEASURES = (ONE, ALL, CLICK, *GRAPH_NAMES, "start", "memory")
"""What is compared: medians, and the most memory."""


@dataclass(frozen=True)
class Comparison:
    """New values divided by old ones: below 1 is better.

    Attributes:
        ratios: by row and measure; a measure that one side lacks is left out.
        warnings: why the two measurements may not be comparable.
    """

    ratios: dict[str, dict[str, float]]
    warnings: tuple[str, ...]


def compare(old: Measurement, new: Measurement) -> Comparison:
    """Compare, row by row, what both measured."""
    before = {row.configuration.key: row for row in old.rows if row.measured}
    after = {row.configuration.key: row for row in new.rows if row.measured}
    measures = [m for m in MEASURES if m != ALL or len(old.subject.concepts) == len(new.subject.concepts)]
    ratios = {after[key].name: _ratios(before[key], after[key], measures) for key in after if key in before}
    return Comparison(ratios, (*_differences(old, new), *_row_differences(before, after)))


def _ratios(old: Row, new: Row, measures: Sequence[str]) -> dict[str, float]:
    before, after = _values(old), _values(new)
    if ("clip" in before) != ("clip" in after):  # in format 1 it is part of "image"
        before.pop("image", None)
    return {name: after[name] / before[name] for name in measures if before.get(name) and name in after}


def _values(row: Row) -> dict[str, float]:
    found = {name: row.times[name].p50 for name in (ONE, ALL, CLICK, *GRAPH_NAMES) if name in row.times}
    starts = [one.total for one in row.cold if one.cached]
    if starts:
        found["start"] = statistics.median(starts)
    if row.peak_memory is not None:
        found["memory"] = float(row.peak_memory)
    return found


def _differences(old: Measurement, new: Measurement) -> Iterator[str]:
    """Yield each difference in the conditions as a sentence."""
    one, two = old.subject, new.subject
    pairs = {
        "machine": (_machine(old), _machine(new)),
        "system": (old.machine.system, new.machine.system),
        "bundle": (f"{one.bundle} {one.digest[:12]}", f"{two.bundle} {two.digest[:12]}"),
        "picture": (f"{one.picture} {one.picture_digest[:12]}", f"{two.picture} {two.picture_digest[:12]}"),
        "concept": (one.concept, two.concept),
        "number of concepts": (str(len(one.concepts)), str(len(two.concepts))),
        "number of threads": (str(one.threads or "the engine's"), str(two.threads or "the engine's")),
    }
    names = dict.fromkeys((*one.versions, *two.versions))
    pairs |= {f"version of {n}": (one.versions.get(n, "none"), two.versions.get(n, "none")) for n in names}
    for name, (before, after) in pairs.items():
        if before != after:
            yield f"not the same {name}: {before} then, {after} now."


def _machine(measurement: Measurement) -> str:
    machine = measurement.machine
    memory = f", {machine.memory / 2**30:.1f} GiB" if machine.memory else ""
    return f"{machine.host or 'unnamed'}, {machine.processor}, {machine.cores} of {machine.all_cores} cores{memory}"


def _row_differences(before: dict[str, Row], after: dict[str, Row]) -> Iterator[str]:
    for key in before:
        if key not in after:
            yield f"{key} was measured then, and not now."
    for key, row in after.items():
        if key not in before:
            yield f"{key} is measured now, and was not then."
        elif (before[key].arithmetic, before[key].weights) != (row.arithmetic, row.weights):
            old = before[key]
            yield (
                f"{key} computed in {old.arithmetic} on {old.weights} weights then, and in {row.arithmetic} on "
                f"{row.weights} now."
            )
