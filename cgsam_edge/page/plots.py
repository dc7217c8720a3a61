"""Plots as SVG: drawn 360 units wide, so that their letters can be read on a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cgsam_edge.page.markup import Html, number, shortened, tag

_WIDTH, _ROW, _HEAD, _BAR = 360, 30, 20, 8
_LETTER = 6.4
"""About how wide a letter is, in units."""

_MOST_DOTS = 500
_TOP, _LEFT, _RIGHT, _PLOT_HEIGHT = 14, 34, 6, 220


@dataclass(frozen=True)
class Bar:
    """A bar with a line of text above it.

    Attributes:
        label: the whole name, as a tooltip, and at the left unless there is a short one.
        value: how long; None draws none.
        shown: at the right, whatever stands for the value.
        colour: name of a colour of the page: "a", "b", "c", "d" or "bad".
        short: at the left instead; what is still too long loses its middle.
    """

    label: str
    value: float | None
    shown: str
    colour: str = "a"
    short: str = ""


def bars(title: str, rows: Sequence[Bar], limit: float | None = None, limit_label: str = "") -> Html:
    """Draw bars from zero, all on one scale, with a dashed line at a limit."""
    longest = max((row.value for row in rows if row.value is not None), default=0.0)
    whole = max(1.04 * longest, 1.3 * (limit or 0.0))  # a limit at the very right would cross the values
    scale = _WIDTH / whole if whole > 0 else 0.0
    head = _HEAD if limit is not None else 0
    parts = [_bar(row, head + i * _ROW, scale) for i, row in enumerate(rows)]
    height = head + _ROW * len(rows)
    if limit is not None:
        parts += _limit_mark(limit * scale, height, limit_label)
    return _svg(title, height, parts)


def _bar(row: Bar, top: float, scale: float) -> Html:
    room = int((_WIDTH - _LETTER * len(row.shown)) / _LETTER) - 2
    baseline, bar_top = top + 14, top + 18
    parts = [
        tag("title", f"{row.label}: {row.shown}"),
        tag("text", shortened(row.short or row.label, room), x=0, y=baseline),
        tag("text", row.shown, x=_WIDTH, y=baseline, class_="end"),
        tag("rect", x=0, y=bar_top, width=_WIDTH, height=_BAR, rx=2, class_="track"),
    ]
    if row.value:
        width = max(1.5, row.value * scale)
        parts.append(tag("rect", x=0, y=bar_top, width=width, height=_BAR, rx=2, class_=f"fill-{row.colour}"))
    return tag("g", *parts)


def _limit_mark(x: float, height: float, label: str) -> list[Html]:
    place, shift = ("quiet end", -4) if x > _WIDTH / 2 else ("quiet", 4)
    return [
        tag("line", x1=x, x2=x, y1=4, y2=height, class_="limit"),
        tag("text", label, x=x + shift, y=13, class_=place),
    ]


def dots(title: str, values: Sequence[float], limit: float, mean: float) -> Html:
    """Draw values as dots in order, the least first, with lines at their mean and at the mean that is asked for.

    Of very many the least ones and an even selection of the others are drawn.
    """
    ordered = _thinned(sorted(v for v in values if math.isfinite(v)))
    floor = _floor(min([*ordered, limit]))

    def y(value: float) -> float:
        return _TOP + (1 - value) / (1 - floor) * _PLOT_HEIGHT

    parts = [_tick(floor + (1 - floor) * step / 4, y(floor + (1 - floor) * step / 4)) for step in range(5)]
    step = (_WIDTH - _LEFT - _RIGHT - 12) / max(1, len(ordered) - 1)
    places = [(_LEFT + 6 + i * step, value) for i, value in enumerate(ordered)]
    for colour, chosen in (("bad", [p for p in places if p[1] < limit]), ("a", [p for p in places if p[1] >= limit])):
        path = "".join(f"M{x:.1f} {y(value):.1f}h0" for x, value in chosen)
        if path:
            parts.append(tag("path", d=path, class_=f"dots stroke-{colour}"))
    lines = [("limit", f"limit for the mean {limit:g}", limit)]
    if math.isfinite(mean):
        lines.append(("mean", f"mean {number(mean)}", mean))
    upper = max(value for _, _, value in lines)
    for kind, label, value in lines:
        parts += _level(kind, label, y(value), above=value == upper)
    return _svg(title, _TOP + _PLOT_HEIGHT + 8, parts)


@dataclass(frozen=True)
class Point:
    """A named point of a curve: where it lies, and whether it is the one that was taken."""

    label: str
    x: float
    y: float
    taken: bool = False


def curve(title: str, points: Sequence[Point], x_name: str, limit: float | None = None) -> Html:
    """Draw shares of 1 against something that is paid for them, from zero, joined in that order."""
    ordered = sorted(points, key=lambda point: point.x)
    floor = _floor(min([point.y for point in ordered] + ([] if limit is None else [limit])))
    scale = (_WIDTH - _LEFT - _RIGHT - 30) / max([point.x for point in ordered if point.x > 0], default=1.0)

    def y(value: float) -> float:
        return _TOP + (1 - value) / (1 - floor) * _PLOT_HEIGHT

    parts = [_tick(floor + (1 - floor) * step / 4, y(floor + (1 - floor) * step / 4)) for step in range(5)]
    if limit is not None:
        parts += _level("limit", f"limit {limit:g}", y(limit), above=False)
    places = [(_LEFT + point.x * scale, y(point.y)) for point in ordered]
    parts.append(tag("path", d="M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in places), class_="curve"))
    for point, (a, b) in zip(ordered, places, strict=True):
        parts.append(tag("path", d=f"M{a:.1f} {b:.1f}h0", class_=f"dots stroke-{'c' if point.taken else 'a'}"))
        parts.append(tag("text", point.label, x=a, y=b + 18, class_="strong middle" if point.taken else "quiet middle"))
    bottom = _TOP + _PLOT_HEIGHT + 30
    parts.append(tag("text", x_name, x=_WIDTH - _RIGHT, y=bottom, class_="quiet end"))
    return _svg(title, bottom + 6, parts)


def _floor(least: float) -> float:
    """Return where the axis begins: a round number under the least value."""
    for room in (0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8):
        if 1 - least <= 0.95 * room:
            return 1 - room
    return 0.0


def _thinned(ordered: list[float]) -> list[float]:
    if len(ordered) <= _MOST_DOTS:
        return ordered
    worst, rest = ordered[: _MOST_DOTS // 5], ordered[_MOST_DOTS // 5 :]
    wanted = _MOST_DOTS - len(worst)
    return worst + [rest[i * (len(rest) - 1) // (wanted - 1)] for i in range(wanted)]


def _tick(value: float, y: float) -> Html:
    return tag(
        "g",
        tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid-line"),
        tag("text", f"{value:.3g}", x=_LEFT - 5, y=y + 4, class_="quiet end"),
    )


def _level(kind: str, label: str, y: float, *, above: bool) -> list[Html]:
    """Draw a line and name it where dots that rise to the right leave room: above it at the left, or under it."""
    place = {"x": _LEFT + 6, "y": y - 5} if above else {"x": _WIDTH - _RIGHT, "y": y + 13}
    return [
        tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_=kind),
        tag("text", label, class_=f"{'strong' if kind == 'mean' else 'quiet'}{'' if above else ' end'}", **place),
    ]


def _svg(title: str, height: float, parts: Sequence[Html]) -> Html:
    return tag("svg", tag("title", title), *parts, viewBox=f"0 0 {_WIDTH} {height:g}", role="img", class_="plot")
