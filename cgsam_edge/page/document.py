"""A complete page, and its building blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cgsam_edge._version import __version__
from cgsam_edge.page.markup import Html, tag
from cgsam_edge.page.style import CSS

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The browser then neither loads nor runs anything, even if a name on the page escaped the escaping."""


def page(title: str, sections: Iterable[Html], remark: str = "") -> str:
    """Return a self-contained HTML page.

    Args:
        title: title of the window.
        sections: content of the page.
        remark: a sentence at its end, after the version.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(CSS)),
    )
    footer = tag("footer", f"Written by cgsam-edge {__version__}. {remark}".strip())
    whole = tag("html", head, tag("body", tag("main", *sections, footer)), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"


def section(title: str, text: str, *content: Html) -> Html:
    """Return a section: a heading, a paragraph (unless the text is empty), and content."""
    lead = [tag("p", text, class_="lead")] if text else []
    return tag("section", tag("h2", title), *lead, *content)


def plot(title: str, text: str, *content: Html) -> Html:
    """Return a plot and its legend under a heading and a paragraph (unless the text is empty)."""
    lead = [tag("p", text, class_="quiet")] if text else []
    return tag("section", tag("h3", title), *lead, *content)


def card(*content: Html) -> Html:
    """Return framed content."""
    return tag("div", *content, class_="card")


def plot_grid(cards: Iterable[Html]) -> Html:
    """Return cards with plots, next to each other if there is room."""
    return tag("div", *cards, class_="plots")


def bullets(lines: Iterable[str], kind: str = "") -> Html:
    """Return lines as a list; ``kind`` is a CSS class."""
    items = (tag("li", line) for line in lines)
    return tag("ul", *items, class_=kind) if kind else tag("ul", *items)


def heads(names: Sequence[str], numbers_from: int = 1) -> Html:
    """Return the head of a table whose columns are numeric except for the first ones."""
    cells = (
        tag("th", name, scope="col", class_="number") if i >= numbers_from else tag("th", name, scope="col")
        for i, name in enumerate(names)
    )
    return tag("thead", tag("tr", *cells))


def number_cell(text: str) -> Html:
    """Return a right-aligned cell."""
    return tag("td", text, class_="number")


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """Return a table that scrolls if it is too wide: names in the first column, numbers in the others."""
    body = (tag("tr", tag("td", first), *map(number_cell, others)) for first, *others in rows)
    return scrolling(tag("table", heads(names), tag("tbody", *body)))


def scrolling(*content: Html) -> Html:
    """Return tables that scroll if they are too wide."""
    return tag("div", *content, class_="scroll")
