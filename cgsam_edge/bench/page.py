"""A report as one HTML page: tables and plots, no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from cgsam_edge.bench import plots, prose
from cgsam_edge.bench.compare import Comparison
from cgsam_edge.bench.plots import Bar, Line
from cgsam_edge.bench.report import REST, Report, Row, Sample
from cgsam_edge.bench.roofline import distances
from cgsam_edge.bench.tables import Table, starts, tables
from cgsam_edge.manifest import GRAPH_NAMES

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2830; --soft: #5c6b75; --line: #d8dfe4; --back: #fff; --warn: #fff4dc; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4eaee; --soft: #9fb0bb; --line: #37444d; --back: #12181c; --warn: #3d3217; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 980px;
  margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: .2em; } h2 { font-size: 1.1em; margin: 2em 0 .4em; }
.where, .legend, .notes { color: var(--soft); } .where { margin: 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25em .6em; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; } th { font-weight: 600; color: var(--soft); }
.warnings { background: var(--warn); padding: .7em 1em .7em 2.2em; border-radius: 6px; }
.legend { font-size: .9em; margin: .2em 0 .6em; } .legend span { margin-right: 1.4em; }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
svg { width: 100%; height: auto; } svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
.grid { stroke: var(--line); stroke-width: 1; }
"""


def page(report: Report, comparison: Comparison | None = None) -> str:
    """Return the report as a whole HTML page."""
    first, *rest = prose.heading(report)
    body = [f"<h1>{escape(first)}</h1>", *(f'<p class="where">{escape(line)}</p>' for line in rest)]
    body += [_list("warnings", [*prose.problems(report), *prose.warnings(report, comparison)])]
    shown, above = list(tables(report, comparison)), 2 if comparison is None else 3
    body += [_table(table) for table in shown[:above]]
    body += [f"<h2>{escape(title)}</h2>{drawn}" for title, drawn in _plots(report)]
    body += [_table(table) for table in shown[above:]]
    body += ["<h2>Notes</h2>", _list("notes", list(prose.notes(report)))]
    head = f'<meta charset="utf-8"><title>{escape(first)}</title><style>{_STYLE}</style>'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}{view}</head>\n<body>\n' + "\n".join(body) + "\n</body></html>\n"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    rows = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in table.rows)
    inner = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<h2>{escape(table.title)}</h2><div class="scroll">{inner}</div>'


def _list(kind: str, lines: list[str]) -> str:
    return f'<ul class="{kind}">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>' if lines else ""


def _plots(report: Report) -> Iterator[tuple[str, str]]:
    """Yield title and drawing of every plot that has data."""
    rows = [row for row in report.rows if row.measured]
    if rows:
        yield "One image and one concept: where the time goes", plots.bars([_parts(row) for row in rows], "ms")
        series = [Line(row.name, row.seconds, row.series) for row in rows]
        yield "Every run of it, in the order of the measurement", plots.chart(series, "seconds", "ms")
    cold = [Bar(f"{row.name}, {name}", parts) for row in report.rows for name, parts in starts(row)]
    if cold:
        yield "From nothing to a mask", plots.bars(cold, "s")
    limits = [Bar(f"{one.row}, {one.graph}", {"reached": 100 * one.share}) for one in distances(report)]
    if limits:
        yield "How much of the machine's limit each graph reaches", plots.bars(limits, "%")
    yield from _machine(report.samples)


def _parts(row: Row) -> Bar:
    return Bar(row.name, {name: row.times[name].p50 for name in (*GRAPH_NAMES, REST) if name in row.times})


def _machine(samples: tuple[Sample, ...]) -> Iterator[tuple[str, str]]:
    """Yield what the machine told over the run."""
    told: tuple[tuple[str, str, Callable[[Sample], float | None]], ...] = (
        ("Temperature", "°C", lambda s: s.temperature),
        ("Clock", "MHz", lambda s: s.clock),
        ("Cores that other programs kept busy", "cores", lambda s: s.others),
    )
    for title, unit, get in told:
        points = [(s.seconds, value) for s in samples if (value := get(s)) is not None]
        if len(points) > 1:
            line = Line(title, [x for x, _ in points], [y for _, y in points])
            yield title, plots.chart([line], "seconds", unit, joined=True)
