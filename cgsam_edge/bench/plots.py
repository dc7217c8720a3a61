"""Plots as SVG, written by hand: a page that needs no script and no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLOURS = ("#3266ad", "#e08a1e", "#3a9a5b", "#b03a5b", "#7a5bb5", "#5d7f8f", "#a88a2a", "#333f48")

_WIDTH = 960
_LEFT, _RIGHT = 300, 70
_BAR, _GAP = 20, 10
_HEIGHT = 240


@dataclass(frozen=True)
class Bar:
    """A bar of parts, one after the other.

    Attributes:
        name: at its left.
        parts: lengths by name.
    """

    name: str
    parts: dict[str, float]


@dataclass(frozen=True)
class Line:
    """Points to draw, and whether to join them.

    Attributes:
        name: in the legend.
        x: of each point.
        y: of each point.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]


def bars(items: Sequence[Bar], unit: str) -> str:
    """Return stacked bars from zero on, with a legend.

    Args:
        items: one or more.
        unit: of the lengths.
    """
    names = list(dict.fromkeys(name for item in items for name in item.parts))
    top = max((sum(item.parts.values()) for item in items), default=0.0) or 1.0
    scale = (_WIDTH - _LEFT - _RIGHT) / top
    height = len(items) * (_BAR + _GAP) + 26
    drawn = [_grid(tick, _LEFT + tick * scale, height - 22, unit) for tick in ticks(0.0, top)]
    drawn += [_bar(item, names, i * (_BAR + _GAP) + 4, scale, unit) for i, item in enumerate(items)]
    return (legend(names) if len(names) > 1 else "") + _svg(height, drawn)


def _bar(item: Bar, names: list[str], y: float, scale: float, unit: str) -> str:
    out = [_text(_LEFT - 8, y + 15, item.name, "end")]
    x = float(_LEFT)
    for name, value in item.parts.items():
        colour = COLOURS[names.index(name) % len(COLOURS)]
        title = f"<title>{escape(f'{item.name}, {name}: {value:.4g} {unit}')}</title>"
        out.append(
            f'<rect x="{x:.1f}" y="{y}" width="{value * scale:.1f}" height="{_BAR}" fill="{colour}">{title}</rect>'
        )
        x += value * scale
    out.append(_text(x + 6, y + 15, f"{sum(item.parts.values()):.3g}", "start"))
    return "".join(out)


def chart(lines: Sequence[Line], x_unit: str, y_unit: str, *, joined: bool = False) -> str:
    """Return points, or lines, over a common x axis, with a legend.

    Args:
        lines: each with one or more points.
        x_unit: under the x axis.
        y_unit: over the y axis.
        joined: whether neighbouring points are joined.
    """
    left, bottom = 70.0, _HEIGHT - 36.0
    xs = np.concatenate([np.asarray(line.x, float) for line in lines])
    ys = np.concatenate([np.asarray(line.y, float) for line in lines])
    (x_low, x_top), (y_low, y_top) = (float(xs.min()), float(xs.max())), _span(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (_WIDTH - left - 20) * (x - x_low) / ((x_top - x_low) or 1.0)
        return across, bottom - (bottom - 22) * (y - y_low) / (y_top - y_low)

    drawn = [_rule(tick, place(x_low, tick)[1], left) for tick in ticks(y_low, y_top)]
    drawn += [_text(place(tick, y_low)[0], bottom + 16, f"{tick:g}", "middle") for tick in ticks(x_low, x_top)]
    drawn += [_text(left - 6, 12, y_unit, "end"), _text(_WIDTH - 20, bottom + 30, x_unit, "end")]
    for i, line in enumerate(lines):
        points = [place(x, y) for x, y in zip(line.x, line.y, strict=True)]
        drawn.append(_points(points, COLOURS[i % len(COLOURS)], joined=joined))
    return (legend([line.name for line in lines]) if len(lines) > 1 else "") + _svg(_HEIGHT, drawn)


def _points(points: list[tuple[float, float]], colour: str, *, joined: bool) -> str:
    if joined:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    return "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}" fill-opacity=".75"/>' for x, y in points)


def legend(names: Sequence[str]) -> str:
    """Return names with their colours, as HTML."""
    made = (
        f'<span><i style="background:{COLOURS[i % len(COLOURS)]}"></i>{escape(n)}</span>' for i, n in enumerate(names)
    )
    return f'<p class="legend">{"".join(made)}</p>'


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers from low to high: some four to nine of them."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10 ** np.floor(np.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 8)
    first = np.ceil(low / step - 1e-9) * step
    return [round(float(value), 12) + 0.0 for value in np.arange(first, high + step * 1e-6, step)]


def _span(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of an axis: from zero on, unless that would press what varies into a line."""
    low, high = float(np.min(values)), float(np.max(values))
    if low > 0.9 * high > 0:
        return low - 0.05 * high, high + 0.05 * high
    return min(low, 0.0), high * 1.05 or 1.0


def _grid(tick: float, x: float, height: float, unit: str) -> str:
    line = f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height}" class="grid"/>'
    return line + _text(x, height + 16, f"{tick:g} {unit}" if tick == 0 else f"{tick:g}", "middle")


def _rule(tick: float, y: float, left: float) -> str:
    line = f'<line x1="{left}" y1="{y:.1f}" x2="{_WIDTH - 20}" y2="{y:.1f}" class="grid"/>'
    return line + _text(left - 6, y + 4, f"{tick:g}", "end")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, drawn: list[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{"".join(drawn)}</svg>'
