"""The strip on the right of an overlay: each concept's colour, area, presence and score; absent ones last, in grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

    from cgsam_edge.results import ConceptResult

_BACKGROUND, _TEXT, _HEAD, _ABSENT = (24, 24, 24), (255, 255, 255), (170, 170, 170), (140, 140, 140)
_COLUMNS = ("area", "presence", "score")
_WIDEST = ("absent", "presence", "−0.00")
"""Widest content of each column, so that all frames of a video have the same width."""


@dataclass(frozen=True)
class LegendRow:
    """A line of the legend.

    Attributes:
        name: the concept.
        colour: its RGB colour; None where the concept is absent.
        cells: area, presence and score as text.
    """

    name: str
    colour: tuple[int, int, int] | None
    cells: tuple[str, str, str]


def rows(concepts: list[ConceptResult], colours: list[tuple[int, int, int]]) -> list[LegendRow]:
    """Return a row for each concept, in their order, with the absent ones moved to the end."""
    made = [_row(concept, colour) for concept, colour in zip(concepts, colours, strict=True)]
    return sorted(made, key=lambda row: row.colour is None)


def _row(concept: ConceptResult, colour: tuple[int, int, int]) -> LegendRow:
    presence = f"{concept.presence:.2f}"
    if not concept.present:
        return LegendRow(concept.name, None, ("absent", presence, ""))
    width, height = concept.image_size
    return LegendRow(
        concept.name,
        colour,
        (_percent(concept.area / (width * height)), presence, f"{round(concept.score, 2) + 0:.2f}"),
    )  # no minus at 0


def _percent(share: float) -> str:
    return "< 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def with_legend(picture: Image.Image, found: list[LegendRow]) -> Image.Image:
    """Return the picture (W, H) with the rows on its right; unchanged without rows."""
    if not found:
        return picture
    legend = Legend(found, picture.size)
    wide = Image.new("RGB", (picture.width + legend.width, picture.height))
    wide.paste(picture)
    legend.draw(wide)
    return wide


class Legend:
    """The rows, laid out for a picture.

    Args:
        found: the rows, one or more.
        size: of the picture, (W, H).

    Attributes:
        width: width of the strip in pixels.
    """

    def __init__(self, found: list[LegendRow], size: tuple[int, int]) -> None:
        self._found, self._left = found, size[0]
        em = max(8, min(min(size) // 32, int(size[1] / (1.4 * (len(found) + 1) + 1))))
        self._font: FreeTypeFont = ImageFont.load_default(em)  # type: ignore[assignment]  # Pillow 10.1 and later scale it
        measure = self._font.getlength
        names = max(measure(row.name) for row in found)
        columns = [max(measure(text) for text in pair) + em for pair in zip(_COLUMNS, _WIDEST, strict=True)]
        self._ends = [size[0] + 2 * em + names + sum(columns[: i + 1]) for i in range(len(columns))]
        self.width = round(self._ends[-1] + 0.7 * em) - size[0]

    def draw(self, wide: Image.Image) -> None:
        """Draw onto the right part of a picture, which must have room for the strip; it covers what is there."""
        draw = ImageDraw.Draw(wide)
        draw.rectangle((self._left, 0, wide.width, wide.height), fill=_BACKGROUND)
        em = self._font.size
        for i, row in enumerate([LegendRow("", None, _COLUMNS), *self._found]):
            top = (i + 0.4) * 1.4 * em
            _draw_row(draw, row, (self._left + 0.6 * em, top), self._ends, self._font)


def _draw_row(
    draw: ImageDraw.ImageDraw, row: LegendRow, corner: tuple[float, float], ends: list[float], font: FreeTypeFont
) -> None:
    (left, top), size = corner, font.size
    ink = _HEAD if not row.name else _ABSENT if row.colour is None else _TEXT
    if row.colour is not None:
        draw.rectangle((left, top + 0.2 * size, left + 0.8 * size, top + size), fill=row.colour)
    draw.text((left + 1.2 * size, top), row.name, font=font, fill=ink)
    for text, end in zip(row.cells, ends, strict=True):
        draw.text((end, top), text, font=font, fill=ink, anchor="ra")
