"""Horizontal bars from zero on a common scale, with a line of text above each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cgsam_edge.page.markup import Html, shortened, tag
from cgsam_edge.page.style import COLOURS
from cgsam_edge.page.svg import WIDTH, svg

_ROW, _HEAD, _THICKNESS = 30, 20, 8
_LETTER = 6.4
"""Approximate width of a letter, in units."""


@dataclass(frozen=True)
class BarPart:
    """A part of a bar.

    Attributes:
        value: its length, 0 or more.
        colour: name of a colour of the page, "a" to "h" or "bad".
        tooltip: description; empty if the bar's name is enough.
    """

    value: float
    colour: str = "a"
    tooltip: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar made of consecutive parts.

    Attributes:
        label: the full name: the tooltip, and the text on the left unless ``short`` is given.
        parts: from the left; without any, an empty track is drawn.
        shown: text on the right: the value, or why there is none.
        short: replaces the label on the left; text that is still too long is shortened in the middle.
    """

    label: str
    parts: tuple[BarPart, ...]
    shown: str
    short: str = ""

    @classmethod
    def of(cls, label: str, value: float | None, shown: str, colour: str = "a", short: str = "") -> Bar:
        """Return a bar with a single part, or without any if there is no value."""
        return cls(label, () if value is None else (BarPart(value, colour),), shown, short)

    @property
    def length(self) -> float:
        """Total length of all parts."""
        return sum(part.value for part in self.parts)


def bars(title: str, rows: Sequence[Bar], limit: float | None = None, limit_label: str = "") -> Html:
    """Draw bars, with a dashed line at a limit.

    Args:
        title: for screen readers.
        rows: from the top.
        limit: position of the line, or None for no line.
        limit_label: text beside the line.
    """
    longest = max((row.length for row in rows), default=0.0)
    whole = max(1.04 * longest, 1.3 * (limit or 0.0))  # a limit at the right edge would cross the values
    scale = WIDTH / whole if whole > 0 else 0.0
    head = _HEAD if limit is not None else 0
    parts = [_bar(row, head + i * _ROW, scale) for i, row in enumerate(rows)]
    height = head + _ROW * len(rows)
    if limit is not None:
        parts += _limit_mark(limit * scale, height, limit_label)
    return svg(title, height, parts)


def legend(names: Sequence[str]) -> Html:
    """Return names with their colours, in the order of `COLOURS`; colours repeat after the last one."""
    items = (tag("span", tag("i", class_=f"fill-{colour(i)}"), name) for i, name in enumerate(names))
    return tag("div", *items, class_="legend")


def colour(index: int) -> str:
    """Return the colour of the n-th part, curve or target."""
    return COLOURS[index % len(COLOURS)]


def _bar(row: Bar, top: float, scale: float) -> Html:
    room = int((WIDTH - _LETTER * len(row.shown)) / _LETTER) - 2
    baseline, bar_top = top + 14, top + 18
    return tag(
        "g",
        tag("title", f"{row.label}: {row.shown}"),
        tag("text", shortened(row.short or row.label, room), x=0, y=baseline),
        tag("text", row.shown, x=WIDTH, y=baseline, class_="end"),
        tag("rect", x=0, y=bar_top, width=WIDTH, height=_THICKNESS, rx=2, class_="track"),
        *_parts(row, bar_top, scale),
    )


def _parts(row: Bar, top: float, scale: float) -> Iterator[Html]:
    x = 0.0
    for part in row.parts:
        width = part.value * scale
        if part.value:
            inner = [tag("title", f"{row.label}, {part.tooltip}")] if part.tooltip else []
            shape = {"x": x, "y": top, "width": max(1.5, width), "height": _THICKNESS}
            corner = {"rx": 2} if len(row.parts) == 1 else {}
            yield tag("rect", *inner, **shape, **corner, class_=f"fill-{part.colour}")
        x += width


def _limit_mark(x: float, height: float, label: str) -> list[Html]:
    place, shift = ("quiet end", -4) if x > WIDTH / 2 else ("quiet", 4)
    return [
        tag("line", x1=x, x2=x, y1=4, y2=height, class_="limit"),
        tag("text", label, x=x + shift, y=13, class_=place),
    ]
