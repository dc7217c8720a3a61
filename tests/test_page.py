"""The kit for pages: markup, numbers and plots."""

from __future__ import annotations

import math
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from cgsam_edge.page.bars import Bar, BarPart, bars, colour, legend
from cgsam_edge.page.document import bullets, page, section, table
from cgsam_edge.page.markup import Html, macs, megabytes, number, seconds, shortened, tag
from cgsam_edge.page.points import Curve, Point, Spot, chart, chart_file, dots, trade_off
from cgsam_edge.page.style import COLOURS, CSS
from cgsam_edge.page.svg import Axes, ticks
from tests.quality.pages import Page

NASTY = '<b>"&'
SVG = "{http://www.w3.org/2000/svg}"


def test_markup_is_escaped_and_closed() -> None:
    got = tag("p", NASTY, tag("img", src='"'), Html("<i></i>"), class_=NASTY, stroke_width=1.5)
    assert got == '<p class="&lt;b&gt;&quot;&amp;" stroke-width="1.5">&lt;b&gt;&quot;&amp;<img src="&quot;"><i></i></p>'


def test_a_page_stands_alone_and_holds_what_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    rows = [("a", "1", "2"), (NASTY, "3", "4")]
    blocks = [section(NASTY, "some text", bullets([NASTY, "two"], "problems warned")), table(("", "x", "y"), rows)]
    path.write_text(page(NASTY, blocks, "The end."), encoding="utf-8")
    read = Page(path)
    assert (read.tags["li"], read.tags["tr"], read.tags["b"]) == (2, 3, 0)
    assert (read.classes["number"], read.classes["warned"]) == (6, 1)
    assert read.text.count(NASTY) == 4  # the window's title, the heading, a line and a cell
    assert read.text.endswith("The end.")
    assert 'http-equiv="Content-Security-Policy" content="default-src &#x27;none&#x27;' in read.source


def test_colours_differ_and_the_style_has_them_for_light_and_dark() -> None:
    for scheme in (CSS.split("@media (prefers-color-scheme: dark)")[0], CSS.split("prefers-color-scheme: dark")[1]):
        found = dict(re.findall(r"--([a-h]): (#[0-9a-f]{6})", scheme))
        assert tuple(found) == COLOURS
        assert len(set(found.values())) == len(COLOURS)
    for name in (*COLOURS, "bad"):
        assert f".fill-{name} {{" in CSS
        assert f".stroke-{name} {{" in CSS
    assert (colour(0), colour(8)) == ("a", "a")
    assert CSS.count("{") == CSS.count("}")


def test_numbers_are_written_for_people() -> None:
    assert [seconds(s) for s in (0.0123, 0.9994, 0.9996, 12.3, 0.00000123, 0, math.nan)] == [
        "12.3 ms", "999 ms", "1.00 s", "12.30 s", "0.001 ms", "0 ms", "undefined",
    ]  # fmt: skip
    assert [macs(n) for n in (None, 97_000_000, 5_880_000_000)] == ["unknown", "97.0 M", "5.88 G"]
    assert [megabytes(n) for n in (12_915_883, 350_000_000, 0)] == ["12.9 MB", "350 MB", "0 MB"]
    assert [number(n) for n in (None, math.nan, 0.98765)] == ["undefined", "undefined", "0.9877"]
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert shortened("abcde", 5) == "abcde"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 10.0, [0, 2, 4, 6, 8, 10]),
        (0.0, 0.7, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        (0.98, 1.0, [0.98, 0.985, 0.99, 0.995, 1.0]),
        (2400.0, 2610.0, [2400, 2450, 2500, 2550, 2600]),
        (-3.0, 1.0, [-3, -2, -1, 0, 1]),
        (3.0, 3.0, [3]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_axes() -> None:
    axes = Axes(10, 20, 100, 50, (0, 4), (1, 3))
    assert [axes.x(value) for value in (0, 1, 4)] == [10, 35, 110]
    assert [axes.y(value) for value in (1, 2, 3)] == [70, 45, 20]


def rects(plot: str, kind: str) -> list[dict[str, str]]:
    return [one.attrib for one in ET.fromstring(plot).iter("rect") if one.get("class") == kind]


def test_bars_are_on_one_scale() -> None:
    rows = [Bar.of("x" * 100, 2.0, "2"), Bar.of("y", 1.0, "1"), Bar.of("z", None, "none"), Bar.of("w", 0.0, "0")]
    plot = bars("t", rows, 1.5, "limit")
    assert len(rects(plot, "track")) == 4
    longest, half = (float(one["width"]) for one in rects(plot, "fill-a"))
    assert longest == pytest.approx(2 * half, rel=1e-3)
    (limit,) = (line for line in ET.fromstring(plot).iter("line") if line.get("class") == "limit")
    assert float(limit.get("x1", "")) == pytest.approx(0.75 * longest, rel=1e-3)
    assert "…" in plot


def test_parts_of_a_bar_follow_each_other() -> None:
    plot = bars("t", [Bar("one", (BarPart(1, "a", "first: 1"), BarPart(0, "b"), BarPart(3, "c", "last: 3")), "4")])
    (first,), (last,) = rects(plot, "fill-a"), rects(plot, "fill-c")
    assert not rects(plot, "fill-b")
    assert float(last["x"]) == pytest.approx(float(first["width"]), rel=1e-3)
    assert float(last["width"]) == pytest.approx(3 * float(first["width"]), rel=1e-3)
    assert "one, last: 3" in plot
    assert re.findall(r'class="(fill-\w)"></i>(\w+)', legend(["x", "y"])) == [("fill-a", "x"), ("fill-b", "y")]


def test_dots() -> None:
    many = dots("t", [0.5 + 0.5 * i / 9999 for i in range(10_000)], 0.9, 0.75)
    assert many.count("M") == 500
    assert "M40.0 " in many
    assert "M348.0 14.0h0" in many, "the greatest, 1, is drawn"
    assert "limit for the mean 0.9" in many
    assert "mean 0.7500" in many
    assert dots("t", [1.0], 0.98, 1.0).count("M") == 1
    assert "nan" not in dots("t", [1.0, math.nan], 0.98, math.nan)


def test_a_trade_off_goes_through_its_points() -> None:
    points = [Point("a", 2.0, 1.0), Point("b", 1.0, 0.9, taken=True)]
    path = trade_off("t", points, "time", 0.95)
    (line,) = re.findall(r'd="(M[\d. ]+L[\d. ]+)" class="line', path)
    (x0, y0), (x1, y1) = (tuple(map(float, place.split())) for place in line[1:].split("L"))
    assert x1 - 34 == pytest.approx(2 * (x0 - 34))  # times from the left edge of the plot
    assert y1 < y0  # 1 is above 0.9
    assert path.count("stroke-c") == 1
    assert 'class="limit"' not in trade_off("t", points, "time")
    assert "nan" not in trade_off("t", [Point("a", 0.0, 1.0)], "time")


def places(plot: str, shade: str) -> list[tuple[float, float]]:
    found = re.findall(rf'd="M([\d.-]+) ([\d.-]+)h0" class="dots stroke-{shade}"', plot)
    return [(float(x), float(y)) for x, y in found]


def test_a_chart_begins_at_zero_unless_that_would_press_its_values() -> None:
    free = chart("t", [Curve("one", (Spot(0, 10), Spot(4, 20)), joined=False)], "s", "ms")
    (x0, y0), (x1, y1) = places(free, "a")
    bottom = y1 + 2 * (y0 - y1)  # where 0 is
    assert bottom == pytest.approx(14 + 12 + 220, abs=0.2)
    assert x1 - x0 == pytest.approx(310)
    assert 'class="line' not in free
    pressed = chart("t", [Curve("one", (Spot(0, 99), Spot(1, 100)))], "s", "ms")
    assert ('class="quiet end">0<' in free, 'class="quiet end">0<' in pressed) == (True, False)
    assert places(pressed, "a")[0][1] - places(pressed, "a")[1][1] > 15
    assert pressed.count('class="line stroke-a"') == 1


@pytest.mark.parametrize("values", [(0.0, 0.0), (-10.0, -5.0), (-3.0, 4.0), (7.0, 7.0)])
def test_every_point_of_a_chart_is_within_it(values: tuple[float, float]) -> None:
    plot = chart("t", [Curve("one", (Spot(5, values[0]), Spot(5, values[1])))], "s", "°C")
    assert all(44 <= x <= 354 and 26 <= y <= 246 for x, y in places(plot, "a"))
    assert len(places(plot, "a")) == 2


def test_the_file_of_a_chart_stands_alone() -> None:
    spots = (Spot(0, 10, 5, 20), Spot(100, 20, 20, 20))
    text = chart_file("a < b", [Curve("one", spots), Curve("two", spots)], "x", "ms")
    drawn = ET.fromstring(text)
    assert drawn.findtext(f"{SVG}title") == "a < b"
    assert "prefers-color-scheme: dark" in drawn.findtext(f"{SVG}style", "")
    (x0, y0), (x1, y1) = places(text, "b")
    assert (x0, y0 > y1) == (64, True)
    assert x1 == pytest.approx(64 + 636 / 1.03, abs=0.1)
    ranges = re.findall(r'd="M([\d.]+) ([\d.]+)V([\d.]+)" class="stroke-a"', text)
    assert [float(value) for value in ranges[0]][2] == y1, "the range of the first point ends at 20, as the second"
    assert "one, 0: 10 (5 to 20)" in text
    assert [element.text for element in drawn.iter(f"{SVG}text")][:2] == ["one", "two"]
