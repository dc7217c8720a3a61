"""The strip at the right of an overlay: each concept's colour, area, presence and score; absent ones last, in grey."""

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
"""What each column must hold, whatever is found: so a video's frames all have one width."""


@dataclass(frozen=True)
class Row:
    """A line of the legend.

    Attributes:
        name: the concept.
        colour: its RGB colour; None where the concept is absent.
        cells: area, presence and score as text.
    """

    name: str
    colour: tuple[int, int, int] | None
    cells: tuple[str, str, str]


def rows(concepts: list[ConceptResult], colours: list[tuple[int, int, int]]) -> list[Row]:
    """Return a row for each concept, in their order, with the absent ones moved to the end."""
    made = [_row(concept, colour) for concept, colour in zip(concepts, colours, strict=True)]
    return sorted(made, key=lambda row: row.colour is None)


def _row(concept: ConceptResult, colour: tuple[int, int, int]) -> Row:
    presence = f"{concept.presence:.2f}"
    if not concept.present:
        return Row(concept.name, None, ("absent", presence, ""))
    return Row(
        concept.name, colour, (_percent(float(concept.mask.mean())), presence, f"{round(concept.score, 2) + 0:.2f}")
    )  # no minus at 0


def _percent(share: float) -> str:
    return "< 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def with_legend(picture: Image.Image, found: list[Row]) -> Image.Image:
    """Return the picture (W, H) with the rows at its right; as it is where there are none."""
    if not found:
        return picture
    size = max(8, min(min(picture.size) // 32, int(picture.height / (1.4 * (len(found) + 1) + 1))))
    font: FreeTypeFont = ImageFont.load_default(size)  # type: ignore[assignment]  # Pillow 10.1 and later scale it
    names = max(font.getlength(row.name) for row in found)
    columns = [max(font.getlength(text) for text in pair) + size for pair in zip(_COLUMNS, _WIDEST, strict=True)]
    ends = [picture.width + 2 * size + names + sum(columns[: i + 1]) for i in range(len(columns))]
    wide = Image.new("RGB", (round(ends[-1] + 0.7 * size), picture.height), _BACKGROUND)
    wide.paste(picture)
    draw = ImageDraw.Draw(wide)
    lines = [Row("", None, _COLUMNS), *found]
    for i, row in enumerate(lines):
        top = (i + 0.4) * 1.4 * size
        _draw_row(draw, row, (picture.width + 0.6 * size, top), ends, font)
    return wide


def _draw_row(
    draw: ImageDraw.ImageDraw, row: Row, corner: tuple[float, float], ends: list[float], font: FreeTypeFont
) -> None:
    (left, top), size = corner, font.size
    ink = _HEAD if not row.name else _ABSENT if row.colour is None else _TEXT
    if row.colour is not None:
        draw.rectangle((left, top + 0.2 * size, left + 0.8 * size, top + size), fill=row.colour)
    draw.text((left + 1.2 * size, top), row.name, font=font, fill=ink)
    for text, end in zip(row.cells, ends, strict=True):
        draw.text((end, top), text, font=font, fill=ink, anchor="ra")
