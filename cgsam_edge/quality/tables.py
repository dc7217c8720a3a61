"""The report's tables: graphs, image sizes, and layers kept in float."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.page.document import heads, number_cell, scrolling, table
from cgsam_edge.page.markup import Html, joined, macs, megabytes, seconds, tag
from cgsam_edge.quality.verdicts import NOT_RUN

if TYPE_CHECKING:
    from cgsam_edge.quality.findings import FloatLayer, GraphQuality, Latency
    from cgsam_edge.quality.resolution import SizeSearch
    from cgsam_edge.quality.shared_blocks import SharingSearch

_COLUMNS = ("graph", "precision", "size", "multiply-adds", "error", "cold", "warm")
_SHOWN_LAYERS = 12
_MUST_HAVE = {"image", "concept", "decoder"}
"""What a mask needs in every format; in format 1, "image" holds what "clip" does in later ones."""


def graph_table(graphs: Sequence[GraphQuality]) -> Html:
    """Return a row for each graph under a heading for each target, and the total for one image with one concept."""
    targets = dict.fromkeys(graph.target for graph in graphs)
    bodies = [_target(name, [graph for graph in graphs if graph.target == name]) for name in targets]
    return scrolling(tag("table", heads(_COLUMNS, numbers_from=2), *bodies))


def _target(name: str, graphs: list[GraphQuality]) -> Html:
    head = tag("tr", tag("th", name, colspan=len(_COLUMNS), scope="rowgroup"), class_="target")
    used = [graph for graph in graphs if graph.graph in GRAPH_NAMES]
    rows = [_row(graph) for graph in graphs]
    return tag("tbody", head, *rows, *([_sum(used)] if {graph.graph for graph in used} >= _MUST_HAVE else []))


def _row(graph: GraphQuality) -> Html:
    cells = (megabytes(graph.bytes), macs(graph.macs), _error(graph), _cold(graph.latency), _warm(graph.latency))
    return tag("tr", tag("td", graph.graph), tag("td", graph.precision), *map(number_cell, cells))


def _sum(graphs: list[GraphQuality]) -> Html:
    """Return the row with the total for one image with one concept."""
    known, times = [g.macs for g in graphs if g.macs is not None], [g.latency for g in graphs if g.latency]
    all_known, all_timed = len(known) == len(graphs), len(times) == len(graphs)
    cells = (
        megabytes(sum(graph.bytes for graph in graphs)),
        macs(sum(known) if all_known else None),
        "",
        seconds(sum(t.open + t.first for t in times)) if all_timed else NOT_RUN,
        seconds(sum(t.warm for t in times)) if all_timed else NOT_RUN,
    )
    name = tag("td", "one image, one concept", colspan=2)
    return tag("tr", name, *map(number_cell, cells), class_="sum")


def _error(graph: GraphQuality) -> str:
    if graph.error is None:
        return NOT_RUN if graph.latency is None else "not measured"
    return f"{graph.error:.1e} σ" if math.isfinite(graph.error) else "undefined"


def _cold(latency: Latency | None) -> Html | str:
    if latency is None:
        return NOT_RUN
    parts = f"open {seconds(latency.open)} + first run {seconds(latency.first)}"
    return joined([seconds(latency.open + latency.first), tag("small", parts)])


def _warm(latency: Latency | None) -> str:
    return NOT_RUN if latency is None else seconds(latency.warm)


def size_table(search: SizeSearch) -> Html:
    """Return a row for each image size, the model's own first."""
    names, *rows = search.rows()
    return table(names, rows)


def sharing_table(search: SharingSearch) -> Html:
    """Return a row for each number of shared blocks that was tried, none first."""
    names, *rows = search.rows()
    return table(names, rows)


def float_table(layers: Sequence[FloatLayer]) -> Html:
    """Return a row for each layer kept in float; rows beyond a dozen are collapsed."""
    names = ("target", "graph", "layer", "why")
    head = heads(names, numbers_from=len(names))
    shown = tag("table", head, tag("tbody", *map(_layer, layers[:_SHOWN_LAYERS])))
    rest = layers[_SHOWN_LAYERS:]
    if not rest:
        return scrolling(shown)
    more = tag("table", head, tag("tbody", *map(_layer, rest)))
    return scrolling(shown, tag("details", tag("summary", f"{len(rest)} more"), more))


def _layer(one: FloatLayer) -> Html:
    layer, reason = tag("td", one.layer, class_="layer"), tag("td", one.reason, class_="reason")
    return tag("tr", tag("td", one.target), tag("td", one.graph), layer, reason)
