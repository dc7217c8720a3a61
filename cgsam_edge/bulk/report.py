"""The report of a run, as a page: counts, sizes, scores, a contact sheet, failures, and what made the labels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from cgsam_edge.bulk.contact_sheet import Tile
from cgsam_edge.bulk.totals import SIZES, TENTHS, LabelTotals
from cgsam_edge.files import write_beside
from cgsam_edge.page.bars import Bar, bars
from cgsam_edge.page.document import bullets, card, page, plot, plot_grid, section, table
from cgsam_edge.page.markup import Html, tag

_COLUMNS = ("backend", "engine_version", "device", "precision", "threads", "cgsam_edge", "bundle")
_DIGEST = 12


def write_report(totals: LabelTotals, tiles: Iterable[Tile], path: Path) -> None:
    """Write the page.

    Raises:
        OutputError: it cannot be written.
    """
    text = page("Labels", _sections(totals, list(tiles)))
    write_beside(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def _sections(totals: LabelTotals, tiles: list[Tile]) -> Iterator[Html]:
    yield tag("h1", "Labels")
    yield tag("p", _summary(totals), class_="summary")
    yield section("Concepts", "", plot_grid(_plots(totals)))
    sure = [tile for tile in tiles if not tile.unsure]
    yield section("Contact sheet", "An even selection of the pictures, with their labels.", _figures(sure))
    if totals.unsure:
        lead = f"{_count(totals.unsure, 'picture')} set aside in the folder review, for a person to decide."
        unsure = [tile for tile in tiles if tile.unsure]
        yield section("Unsure", lead, _figures(unsure), table(("Picture", "Presence"), _doubts(totals)))
    if totals.failed:
        lines = [line if name in line else f"{name}: {line}" for name, line in totals.failures.items()]
        more = [f"and {totals.failed - len(lines)} more"] if totals.failed > len(lines) else []
        yield section("Not labelled", "", card(bullets([*lines, *more])))
    yield section("What made the labels", "", table(("Engine", *_HEADS, "Pictures"), _makers(totals)))


def _summary(totals: LabelTotals) -> str:
    parts = [_count(totals.pictures, "picture"), f"{_count(totals.objects, 'object')}"]
    parts += [f"{count} in {name}" for name, count in sorted(totals.splits.items())]
    parts += [f"{totals.unsure} unsure"] if totals.unsure else []
    parts += [f"{totals.failed} not labelled"] if totals.failed else []
    return " · ".join(parts)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _plots(totals: LabelTotals) -> Iterator[Html]:
    every = totals.concepts.items()
    held = [Bar.of(name, one.pictures, f"{one.pictures:,}") for name, one in every]
    found = [Bar.of(name, one.objects, f"{one.objects:,}", "b") for name, one in every]
    yield card(plot("Pictures by concept", "Pictures that hold the concept.", bars("Pictures by concept", held)))
    yield card(plot("Objects by concept", "Touching objects count as one.", bars("Objects by concept", found)))
    sizes, scores, presences = Counter[int](), Counter[int](), Counter[int]()
    for one in totals.concepts.values():
        sizes += one.sizes
        scores += one.scores
        presences += one.presences
    yield card(plot("Sizes", "Objects by their share of the picture.", _histogram("Sizes", sizes, _sizes(), "c")))
    yield card(plot("Scores", "Objects by predicted mask IoU.", _histogram("Scores", scores, _tenths(), "d")))
    text = "Pairs of picture and concept by confidence that the concept is there."
    yield card(plot("Presence", text, _histogram("Presence", presences, _tenths(), "e")))


def _histogram(title: str, counts: Counter[int], names: list[str], colour: str) -> Html:
    return bars(title, [Bar.of(name, counts[i], f"{counts[i]:,}", colour) for i, name in enumerate(names)])


def _sizes() -> list[str]:
    shown = [f"{100 * bound:g} %" for bound in SIZES]
    between = [f"{low} to {high}" for low, high in pairwise(shown)]
    return [f"under {shown[0]}", *between, f"{shown[-1]} and more"]


def _tenths() -> list[str]:
    bounds = (0.0, *TENTHS, 1.0)
    return [f"{low:g} to {high:g}" for low, high in pairwise(bounds)]


def _figures(tiles: list[Tile]) -> Html:
    made = (
        tag(
            "figure",
            tag("figcaption", tag("b", tile.name), f" {tile.text}"),
            tag("img", src=tile.jpeg, alt=f"{tile.name} with its labels", style="width:100%;height:auto"),
            class_="card",
        )
        for tile in tiles
    )
    return tag("div", *made, class_="grid")


def _doubts(totals: LabelTotals) -> Iterator[tuple[str, str]]:
    for name, unsure in totals.doubts.items():
        yield name, ", ".join(f"{concept} {value:.2f}" for concept, value in unsure.items())


_HEADS = ("Version", "Device", "Precision", "Threads", "cgsam-edge", "Bundle")


def _makers(totals: LabelTotals) -> Iterator[tuple[str, ...]]:
    for maker, count in sorted(totals.makers.items()):
        facts = json.loads(maker)
        cells = [str(facts.get(name, "")) for name in _COLUMNS]
        yield (*cells[:-1], cells[-1][:_DIGEST], f"{count:,}")
