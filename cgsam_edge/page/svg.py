"""The frame of every plot: SVG, and axes with round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cgsam_edge.page.markup import Html, tag
from cgsam_edge.page.style import PLOTS, VARIABLES

WIDTH = 360
"""Width in units of a plot on a page: letters of 12 units are then readable on a phone."""

_FILE_STYLE = f"{VARIABLES} text {{ font-family: system-ui, sans-serif; }} .back {{ fill: var(--card); }} {PLOTS}"


def svg(title: str, height: float, parts: Iterable[Html]) -> Html:
    """Return a plot for a page, `WIDTH` units wide.

    Args:
        title: for screen readers.
        height: in units.
        parts: elements of the drawing.
    """
    return tag("svg", tag("title", title), *parts, viewBox=f"0 0 {WIDTH} {height:g}", role="img", class_="plot")


def svg_file(title: str, size: tuple[float, float], parts: Iterable[Html]) -> str:
    """Return a plot as a self-contained file, for light and dark mode.

    Args:
        title: for screen readers.
        size: width and height in units.
        parts: elements of the drawing.
    """
    width, height = size
    back = tag("rect", width=width, height=height, class_="back")
    whole = tag(
        "svg", tag("title", title), tag("style", Html(_FILE_STYLE)), back, *parts,
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width:g} {height:g}", role="img", class_="plot",
    )  # fmt: skip
    return f"{whole}\n"


@dataclass(frozen=True)
class Axes:
    """The axes of a plot.

    Attributes:
        left, top, width, height: the area of the plot, in units.
        x_range, y_range: lowest and highest value of each axis; they differ.
    """

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    @property
    def right(self) -> float:
        """The right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.top + self.height

    def x(self, value: float) -> float:
        """Return the position of a value on the x axis."""
        low, high = self.x_range
        return self.left + self.width * (value - low) / (high - low)

    def y(self, value: float) -> float:
        """Return the position of a value on the y axis."""
        low, high = self.y_range
        return self.bottom - self.height * (value - low) / (high - low)

    def rules(self) -> Iterator[Html]:
        """Yield horizontal lines with their numbers on the left."""
        for value in ticks(*self.y_range):
            y = self.y(value)
            yield tag(
                "g",
                tag("line", x1=self.left, x2=self.right, y1=y, y2=y, class_="grid-line"),
                tag("text", f"{value:g}", x=self.left - 5, y=y + 4, class_="quiet end"),
            )

    def numbers(self) -> Iterator[Html]:
        """Yield the numbers below the x axis."""
        for value in ticks(*self.x_range):
            yield tag("text", f"{value:g}", x=self.x(value), y=self.bottom + 16, class_="quiet middle")


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers from low to high: four to nine of them."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 8)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-6)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]
