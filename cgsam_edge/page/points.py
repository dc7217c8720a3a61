"""Plots of points: sorted values, shares against their cost, and curves over time or size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cgsam_edge.agreement import spread_evenly
from cgsam_edge.page.bars import colour
from cgsam_edge.page.markup import Html, number, tag
from cgsam_edge.page.svg import WIDTH, Axes, svg, svg_file

_MOST_DOTS = 500
_TOP, _LEFT, _RIGHT, _HEIGHT = 14, 34, 6, 220
_WIDTH = WIDTH - _LEFT - _RIGHT
_DOT, _NAME = 6, 30
"""Margins in units, for a dot and for half of a name under a point."""

_FILE_SIZE = (720.0, 360.0)
"""Width and height in units of a plot in a separate file."""


def dots(title: str, values: Sequence[float], limit: float | None, mean: float) -> Html:
    """Draw shares of 1 as dots in ascending order, with lines at their mean and at the lowest mean that passes.

    Of more than 500 values, the lowest ones, the highest one and an even selection of the others are drawn.
    """
    ordered = _thinned(sorted(v for v in values if math.isfinite(v)))
    last = max(1, len(ordered) - 1)
    margin = _DOT * last / (_WIDTH - 2 * _DOT)
    axes = _shares([*ordered, *([] if limit is None else [limit])], (-margin, last + margin))
    places = [(axes.x(i), value) for i, value in enumerate(ordered)]
    parts = list(axes.rules())
    low = [] if limit is None else [p for p in places if p[1] < limit]
    for shade, chosen in (("bad", low), ("a", [p for p in places if p not in low])):
        path = "".join(f"M{x:.1f} {axes.y(value):.1f}h0" for x, value in chosen)
        if path:
            parts.append(tag("path", d=path, class_=f"dots stroke-{shade}"))
    lines = [] if limit is None else [("limit", f"limit for the mean {limit:.4g}", limit)]
    if math.isfinite(mean):
        lines.append(("mean", f"mean {number(mean)}", mean))
    upper = max(value for _, _, value in lines)
    for kind, label, value in lines:
        parts += _level(axes, kind, label, value, above=value == upper)
    return svg(title, axes.bottom + 8, parts)


@dataclass(frozen=True)
class Point:
    """A named point of a trade-off: its position, and whether it was chosen."""

    label: str
    x: float
    y: float
    taken: bool = False


def trade_off(title: str, points: Sequence[Point], x_name: str, limit: float | None = None) -> Html:
    """Draw shares of 1 against their cost, from zero, joined in the order of the cost."""
    ordered = sorted(points, key=lambda point: point.x)
    values = [point.y for point in ordered] + ([] if limit is None else [limit])
    highest = max([point.x for point in ordered if point.x > 0], default=1.0)
    axes = _shares(values, (0.0, highest * _WIDTH / (_WIDTH - _NAME)))
    parts = list(axes.rules())
    if limit is not None:
        parts += _level(axes, "limit", f"limit {limit:g}", limit, above=False)
    places = [(axes.x(point.x), axes.y(point.y)) for point in ordered]
    parts.append(tag("path", d=_path(places), class_="line stroke-a"))
    for point, (x, y) in zip(ordered, places, strict=True):
        parts.append(tag("path", d=f"M{x:.1f} {y:.1f}h0", class_=f"dots stroke-{'c' if point.taken else 'a'}"))
        parts.append(tag("text", point.label, x=x, y=y + 18, class_="strong middle" if point.taken else "quiet middle"))
    parts.append(tag("text", x_name, x=axes.right, y=axes.bottom + 30, class_="quiet end"))
    return svg(title, axes.bottom + 36, parts)


@dataclass(frozen=True)
class Spot:
    """A point of a curve.

    Attributes:
        x: position on the x axis.
        y: the value, for example a median.
        low, high: range of the measurements, drawn as a vertical line, or None.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """A series of points.

    Attributes:
        name: in the legend.
        spots: one or more, in the order of x.
        joined: whether neighbouring points are joined by a line.
    """

    name: str
    spots: tuple[Spot, ...]
    joined: bool = True


def chart(title: str, curves: Sequence[Curve], x_label: str, y_label: str) -> Html:
    """Draw one or more curves over one axis; `bars.legend` lists their names.

    The y axis begins at zero, unless that would flatten the variation.

    Args:
        title: for screen readers.
        curves: in the order of their colours.
        x_label: under the axis.
        y_label: above the axis, with the unit.
    """
    y_range = _y_range([spot.y for curve in curves for spot in curve.spots])
    axes = Axes(_LEFT + 10, _TOP + 12, _WIDTH - 10, _HEIGHT, _x_range(curves), y_range)
    return svg(title, axes.bottom + 36, _chart(axes, curves, x_label, y_label))


def chart_file(title: str, curves: Sequence[Curve], x_label: str, y_label: str) -> str:
    """Return a chart as a file, with both axes from zero and the names of its curves; see `chart`."""
    highest = max(max(spot.y, spot.high or 0.0) for curve in curves for spot in curve.spots)
    width, height = _FILE_SIZE
    x_range = (0.0, 1.03 * _x_range(curves)[1])
    axes = Axes(64, 44, width - 84, height - 92, x_range, (0.0, 1.05 * highest or 1.0))
    names = [part for i, curve in enumerate(curves) for part in _name(axes.left + 200 * i, curve.name, colour(i))]
    return svg_file(title, _FILE_SIZE, [*names, *_chart(axes, curves, x_label, y_label)])


def _x_range(curves: Sequence[Curve]) -> tuple[float, float]:
    places = [spot.x for curve in curves for spot in curve.spots]
    low, high = min(places), max(places)
    return low, high if high > low else low + 1.0


def _y_range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low > 0.9 * high > 0:
        return low - 0.05 * high, high + 0.05 * high
    return min(low, 0.0), 1.05 * high if high > 0 else 0.0 if low < 0 else 1.0


def _chart(axes: Axes, curves: Sequence[Curve], x_label: str, y_label: str) -> Iterator[Html]:
    yield from axes.rules()
    yield from axes.numbers()
    yield tag("text", x_label, x=axes.right, y=axes.bottom + 31, class_="quiet end")
    yield tag("text", y_label, x=6, y=12, class_="quiet")
    for i, curve in enumerate(curves):
        yield from _curve(axes, curve, colour(i))


def _curve(axes: Axes, curve: Curve, shade: str) -> Iterator[Html]:
    places = [(axes.x(spot.x), axes.y(spot.y)) for spot in curve.spots]
    if curve.joined and len(places) > 1:
        yield tag("path", d=_path(places), class_=f"line stroke-{shade}")
    for spot, (x, y) in zip(curve.spots, places, strict=True):
        measured = f"{curve.name}, {spot.x:g}: {spot.y:.4g}"
        if spot.low is not None and spot.high is not None:
            measured += f" ({spot.low:.4g} to {spot.high:.4g})"
            yield tag("path", d=f"M{x:.1f} {axes.y(spot.low):.1f}V{axes.y(spot.high):.1f}", class_=f"stroke-{shade}")
        yield tag("path", tag("title", measured), d=f"M{x:.1f} {y:.1f}h0", class_=f"dots stroke-{shade}")


def _name(x: float, name: str, shade: str) -> list[Html]:
    square = tag("rect", x=x, y=22, width=10, height=10, rx=2, class_=f"fill-{shade}")
    return [square, tag("text", name, x=x + 15, y=31)]


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _shares(values: Sequence[float], x_range: tuple[float, float]) -> Axes:
    """Return axes for shares of 1, which begin at a round number below the lowest one."""
    room = next((room for room in (0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8) if 1 - min(values) <= 0.95 * room), 1.0)
    return Axes(_LEFT, _TOP, _WIDTH, _HEIGHT, x_range, (1 - room, 1.0))


def _thinned(ordered: list[float]) -> list[float]:
    if len(ordered) <= _MOST_DOTS:
        return ordered
    worst, rest, greatest = ordered[: _MOST_DOTS // 5], ordered[_MOST_DOTS // 5 : -1], ordered[-1]
    return [*worst, *spread_evenly(rest, _MOST_DOTS - len(worst) - 1), greatest]


def _level(axes: Axes, kind: str, label: str, value: float, *, above: bool) -> list[Html]:
    """Draw a line and its name where dots that rise to the right leave room: above it on the left, or below it."""
    y = axes.y(value)
    place = {"x": axes.left + _DOT, "y": y - 5} if above else {"x": axes.right, "y": y + 13}
    return [
        tag("line", x1=axes.left, x2=axes.right, y1=y, y2=y, class_=kind),
        tag("text", label, class_=f"{'strong' if kind == 'mean' else 'quiet'}{'' if above else ' end'}", **place),
    ]
