"""A chart with the spread of each point, as an SVG file that stands alone: light and dark, without script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from cgsam_edge.bench.plots import COLOURS, ticks

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 44, 48
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1d2830 } .grid { stroke: #d8dfe4 } .back { fill: #fff }
@media (prefers-color-scheme: dark) { text { fill: #e4eaee } .grid { stroke: #37444d } .back { fill: #12181c } }
"""


@dataclass(frozen=True)
class Spot:
    """A point.

    Attributes:
        x: where.
        y: the median.
        low: the least that was measured.
        high: the most.
    """

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Points that are joined, one or more.

    Attributes:
        name: in the legend.
        spots: in the order of x.
    """

    name: str
    spots: tuple[Spot, ...]


@dataclass(frozen=True)
class _Frame:
    """The range of both axes, from zero on."""

    right: float
    top: float

    def x(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / self.right

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / self.top


def chart(title: str, curves: Sequence[Curve], x_label: str, y_label: str) -> str:
    """Return the chart as a whole SVG file.

    Args:
        title: what screen readers say.
        curves: one or more.
        x_label: under the axis.
        y_label: over the axis, with its unit.
    """
    spots = [spot for curve in curves for spot in curve.spots]
    frame = _Frame(1.03 * max(spot.x for spot in spots) or 1.0, 1.05 * max(spot.high for spot in spots) or 1.0)
    parts = [f"<title>{escape(title)}</title><style>{_STYLE}</style>"]
    parts += [f'<rect width="{_WIDTH}" height="{_HEIGHT}" class="back"/>', *_axes(frame, x_label, y_label)]
    for i, curve in enumerate(curves):
        colour = COLOURS[i % len(COLOURS)]
        parts += [*_curve(frame, curve, colour), *_name(curve.name, i, colour)]
    head = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
    return f"<svg {head}>" + "\n".join(parts) + "</svg>\n"


def _axes(frame: _Frame, x_label: str, y_label: str) -> Iterator[str]:
    for value in ticks(0.0, frame.top):
        y = frame.y(value)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        yield _text(_LEFT - 6, y + 4, f"{value:g}", "end")
    for value in ticks(0.0, frame.right):
        yield _text(frame.x(value), _HEIGHT - _BOTTOM + 18, f"{value:g}", "middle")
    yield _text(_WIDTH - _RIGHT, _HEIGHT - 10, x_label, "end")
    yield _text(8, 16, y_label, "start")


def _curve(frame: _Frame, curve: Curve, colour: str) -> Iterator[str]:
    path = " ".join(f"{frame.x(spot.x):.1f},{frame.y(spot.y):.1f}" for spot in curve.spots)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for spot in curve.spots:
        x, told = frame.x(spot.x), f"{curve.name}, {spot.x:g}: {spot.y:.4g} ({spot.low:.4g} to {spot.high:.4g})"
        yield f'<path d="M{x:.1f} {frame.y(spot.low):.1f}V{frame.y(spot.high):.1f}" stroke="{colour}"/>'
        yield (
            f'<circle cx="{x:.1f}" cy="{frame.y(spot.y):.1f}" r="3.5" fill="{colour}"><title>{escape(told)}</title>'
            "</circle>"
        )


def _name(name: str, index: int, colour: str) -> Iterator[str]:
    x = _LEFT + 200 * index
    yield f'<rect x="{x}" y="26" width="10" height="10" rx="2" fill="{colour}"/>'
    yield _text(x + 15, 36, name, "start")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
