"""The report's plots."""

from __future__ import annotations

import re
from collections.abc import Sequence
from os.path import commonprefix
from typing import TYPE_CHECKING

from cgsam_edge.page.bars import Bar, bars, colour
from cgsam_edge.page.document import card, plot
from cgsam_edge.page.markup import Html, number, seconds, tag
from cgsam_edge.page.points import Point, dots, trade_off
from cgsam_edge.quality.verdicts import NOT_RUN
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from cgsam_edge.quality.findings import GraphQuality, Sensitivity
    from cgsam_edge.quality.judge import TargetQuality
    from cgsam_edge.quality.resolution import SizeSearch

_MOST = 20


def agreement(target: TargetQuality) -> Html:
    """Return the card of a target's masks: a dot for each mask, and the mean of each concept."""
    return tag("div", _distribution(target), _concepts(target), class_="card pair")


def _distribution(target: TargetQuality) -> Html:
    values, limit = [pair.iou for pair in target.counted], target.least_of_all
    text = f"{amount(len(values), 'mask')}, the least alike first."
    if limit is not None:
        text = f"{text[:-1]}; {sum(value < limit for value in values)} of them below {limit:.4g}."
    drawn = dots(f"mask IoU of {target.target}", values, limit, target.mean_iou)
    return plot(f"{target.target}: IoU of each mask", text, drawn)


def _concepts(target: TargetQuality) -> Html:
    """Draw bars of the loss, so that small differences are visible."""
    ordered = sorted(target.by_concept.items(), key=lambda item: item[1])
    least = target.least_of_all
    limit = None if least is None else 1 - least
    colours = ["bad" if limit is not None and 1 - iou > limit else "a" for _, iou in ordered]
    rows = [
        Bar.of(name, 1 - iou, number(iou), shade) for (name, iou), shade in zip(ordered[:_MOST], colours, strict=False)
    ]
    text = f"Bars show the loss, 1 − IoU, worst first.{_more(len(ordered))}"
    drawn = bars(
        f"mean mask IoU by concept of {target.target}", rows, limit, "" if least is None else f"limit {least:.4g}"
    )
    return plot(f"{target.target}: mean IoU by concept", text, drawn)


def sensitivity(layers: Sequence[Sensitivity]) -> list[Html]:
    """Return a card for each graph: its layers, the most sensitive first."""
    return [
        _layers(graph, [one for one in layers if one.graph == graph])
        for graph in dict.fromkeys(s.graph for s in layers)
    ]


def _layers(graph: str, layers: list[Sensitivity]) -> Html:
    ordered = sorted(layers, key=lambda one: one.mean_iou)
    names = _distinct([one.layer for one in ordered[:_MOST]])
    rows = [
        Bar.of(s.layer, 1 - s.mean_iou, f"{number(s.mean_iou)} · {s.error:.1e} σ", short=name)
        for s, name in zip(ordered, names, strict=False)
    ]
    text = f"Bar: 1 − mean mask IoU. Numbers: mean mask IoU · error of the logits.{_more(len(ordered))}"
    return card(plot(f"{graph}: one layer quantised alone", text, bars(f"sensitivity of layers of {graph}", rows)))


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names without their common beginning and end, so that the differences have room."""
    if len(set(names)) < 2:
        return list(names)
    start = len(re.sub(r"[^/.]*$", "", commonprefix(list(names))))  # noqa: RUF071 — letters are meant
    end = len(re.sub(r"^[^/._]*", "", commonprefix([name[::-1] for name in names])[::-1]))  # noqa: RUF071
    return [name[start : len(name) - end] or name for name in names]


def sizes(search: SizeSearch) -> Html:
    """Return the card of image sizes: mask IoU against time."""
    own = Point(f"{search.own_size}", search.own_seconds, 1.0, taken=search.chosen == search.own_size)
    taken = search.tried[-1] if search.tried and not own.taken else None
    points = [Point(f"{one.image_size}", one.seconds, one.mean_iou, taken=one is taken) for one in search.tried]
    text = f"By size in pixels; {search.own_size} is the model's own. One image with one concept, in PyTorch."
    x_name = f"time, the longest {seconds(max(point.x for point in (own, *points)))}"
    drawn = trade_off("mask IoU against time by image size", [own, *points], x_name, search.min_iou)
    return card(plot("Mask IoU against time", text, drawn))


def latency(graphs: Sequence[GraphQuality]) -> list[Html]:
    """Return a card of warm and one of cold times, by graph and target; none where nothing was timed."""
    if not any(graph.latency for graph in graphs):
        return []
    warm = [(g, g.latency.warm if g.latency else None) for g in graphs]
    cold = [(g, g.latency.open + g.latency.first if g.latency else None) for g in graphs]
    return [
        card(plot("Warm run", "Median of runs after the first.", _times("latency of warm runs", warm))),
        card(plot("Cold start", "Opening the graph, and the first run.", _times("latency of cold starts", cold))),
    ]


def _times(title: str, found: Sequence[tuple[GraphQuality, float | None]]) -> Html:
    """Draw the times of one graph next to each other; each target keeps its colour."""
    colours = {name: colour(i) for i, name in enumerate(dict.fromkeys(g.target for g, _ in found))}
    names = list(dict.fromkeys(g.graph for g, _ in found))
    ordered = sorted(found, key=lambda item: names.index(item[0].graph))
    rows = [
        Bar.of(f"{g.graph} · {g.target}", value, NOT_RUN if value is None else seconds(value), colours[g.target])
        for g, value in ordered
    ]
    return bars(title, rows)


def _more(count: int) -> str:
    return f" {_MOST} of {count}; report.json has all." if count > _MOST else ""
