"""A measurement as one HTML page: tables and plots, no script, and nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from cgsam_edge.bench import prose
from cgsam_edge.bench.compare import Comparison
from cgsam_edge.bench.measurement import REST, Measurement, Row, Sample
from cgsam_edge.bench.roofline import distances
from cgsam_edge.bench.tables import Table, starts, tables
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.page import document
from cgsam_edge.page.bars import Bar, BarPart, bars, colour, legend
from cgsam_edge.page.markup import Html, tag
from cgsam_edge.page.points import Curve, Spot, chart


def page(measurement: Measurement, comparison: Comparison | None = None) -> str:
    """Return the measurement as a whole HTML page."""
    first, *rest = prose.heading(measurement)
    shown, above = list(tables(measurement, comparison)), 2 if comparison is None else 3
    sections = [tag("h1", first), *(tag("p", line, class_="lead") for line in rest)]
    problems = [*prose.problems(measurement), *prose.warnings(measurement, comparison)]
    if problems:
        sections.append(document.bullets(problems, "problems warned"))
    sections += [_table(one) for one in shown[:above]]
    plots = list(_plots(measurement))
    if plots:
        sections.append(document.section("Plots", "", document.plot_grid(map(document.card, plots))))
    sections += [_table(one) for one in shown[above:]]
    notes = document.card(document.bullets(prose.notes(measurement)))
    return document.page(first, [*sections, document.section("Notes", "", notes)])


def _table(table: Table) -> Html:
    return document.section(table.title, "", document.table(table.header, table.rows))


def _plots(measurement: Measurement) -> Iterator[Html]:
    """Yield every plot that has data."""
    rows = [row for row in measurement.rows if row.measured]
    if rows:
        times = {row.name: _parts(row) for row in rows}
        yield _stacked("One image and one concept: where the time goes", times, "ms")
        curves = [Curve(row.name, _spots(row.seconds, row.series), joined=False) for row in rows]
        yield _chart("One image and one concept: every run, in the order of the measurement", curves, "ms")
    cold = {f"{row.name}, {name}": parts for row in measurement.rows for name, parts in starts(row)}
    if cold:
        yield _stacked("From nothing to a mask", cold, "s")
    reached = [
        Bar.of(f"{one.row}, {one.graph}", one.share, f"{100 * one.share:.3g} %") for one in distances(measurement)
    ]
    if reached:
        title = "How much of the machine's limit each graph reaches"
        yield document.plot(title, "", bars(title, reached, 1.0, "the limit"))
    yield from _machine(measurement.samples)


def _parts(row: Row) -> dict[str, float]:
    return {name: row.times[name].p50 for name in (*GRAPH_NAMES, REST) if name in row.times}


def _spots(seconds: Sequence[float], values: Sequence[float]) -> tuple[Spot, ...]:
    return tuple(Spot(x, y) for x, y in zip(seconds, values, strict=True))


def _stacked(title: str, rows: Mapping[str, Mapping[str, float]], unit: str) -> Html:
    """Draw a bar for each row, made of named parts."""
    names = list(dict.fromkeys(name for parts in rows.values() for name in parts))
    drawn = [
        Bar(
            label,
            tuple(BarPart(v, colour(names.index(name)), f"{name}: {v:.4g} {unit}") for name, v in parts.items()),
            f"{sum(parts.values()):.3g} {unit}",
        )
        for label, parts in rows.items()
    ]
    return document.plot(title, "", legend(names), bars(title, drawn))


def _chart(title: str, curves: Sequence[Curve], unit: str) -> Html:
    names = [legend([curve.name for curve in curves])] if len(curves) > 1 else []
    return document.plot(title, "", *names, chart(title, curves, "seconds", unit))


def _machine(samples: tuple[Sample, ...]) -> Iterator[Html]:
    """Yield the machine's sensors over the run."""
    sensors: tuple[tuple[str, str, Callable[[Sample], float | None]], ...] = (
        ("Temperature", "°C", lambda s: s.temperature),
        ("Clock", "MHz", lambda s: s.clock),
        ("Cores that other programs kept busy", "cores", lambda s: s.others),
    )
    for title, unit, get in sensors:
        points = tuple(Spot(s.seconds, value) for s in samples if (value := get(s)) is not None)
        if len(points) > 1:
            yield _chart(title, [Curve(title, points)], unit)
