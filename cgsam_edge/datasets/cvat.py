"""CVAT for images 1.1: an XML file for each split, imported into a task with these pictures, to be corrected there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO
from xml.sax.saxutils import escape, quoteattr

from cgsam_edge.datasets.picture import ImageSource, LabelledObject, LabelledPicture, no_images, number_of, numbers
from cgsam_edge.datasets.places import place_image
from cgsam_edge.datasets.shapes import row_counts, single_ring
from cgsam_edge.files import beside, make_folder, write_beside
from cgsam_edge.overlay import palette
from cgsam_edge.polygons import TOLERANCE


@dataclass(frozen=True)
class CvatFormat:
    """``annotations.xml`` or ``SPLIT.xml``, ``labels.json`` to create a task's labels with, and ``images/``.

    An object with one outline is a polygon; one with holes or several outlines is a mask. CVAT keeps no scores.
    Larger objects lie below smaller ones.

    Attributes:
        tolerance: of the polygons, in pixels.
    """

    tolerance: float = TOLERANCE

    def write(
        self,
        pictures: Iterable[LabelledPicture],
        concepts: Sequence[str],
        output: Path,
        *,
        images: ImageSource = no_images,
    ) -> list[Path]:
        """Write the data set; see `cgsam_edge.datasets.DatasetFormat`."""
        known, files = numbers(concepts), _Files(make_folder(output), concepts)
        with files:
            for picture in pictures:
                place_image(picture, output / "images" / picture.name, images)
                file, number = files.next_in(picture.split)
                file.writelines(self._image(number, picture, known))
            if not files.counts:
                files.next_in(None)
        labels = [{"name": name, "color": colour, "attributes": []} for name, colour in _coloured(concepts)]
        text = json.dumps(labels, ensure_ascii=False, indent=2) + "\n"
        write_beside(output / "labels.json", lambda path: path.write_bytes(text.encode()))
        return [*files.counts, output / "labels.json"]

    def _image(self, number: int, picture: LabelledPicture, known: dict[str, int]) -> Iterator[str]:
        size = f'width="{picture.width}" height="{picture.height}"'
        yield f'  <image id="{number}" name={quoteattr(picture.name)} {size}>\n'
        for order, one in enumerate(sorted(picture.objects, key=lambda one: -one.area)):
            number_of(one, known, picture)
            yield self._shape(one, f'label={quoteattr(one.concept)} source="auto" occluded="0" z_order="{order}"')
        yield "  </image>\n"

    def _shape(self, one: LabelledObject, common: str) -> str:
        ring = single_ring(one, self.tolerance)
        if ring is not None:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in ring.tolist())
            return f'    <polygon {common} points="{points}">\n    </polygon>\n'
        x, y, width, height = one.box
        place = f'left="{x}" top="{y}" width="{width}" height="{height}"'
        counts = ", ".join(str(count) for count in row_counts(one.crop()))
        return f'    <mask {common} rle="{counts}" {place}>\n    </mask>\n'


class _Files:
    """The files of the splits, each with its head when it is first needed, and its end when the block ends."""

    def __init__(self, folder: Path, concepts: Sequence[str]) -> None:
        self.counts: dict[Path, int] = {}
        self._folder, self._concepts = folder, concepts
        self._opened: dict[Path, IO[str]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> _Files:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for file in self._opened.values():
                file.write("</annotations>\n")
        self._stack.__exit__(kind, error, trace)

    def next_in(self, split: str | None) -> tuple[IO[str], int]:
        """Return the file of a split, and the number of its next picture."""
        target = self._folder / f"{split or 'annotations'}.xml"
        if target not in self._opened:
            partial = self._stack.enter_context(beside(target))
            file = self._stack.enter_context(partial.open("w", encoding="utf-8", newline="\n"))
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
            file.writelines(_meta(self._concepts))
            self._opened[target] = file
        number = self.counts.get(target, 0)
        self.counts[target] = number + 1
        return self._opened[target], number


def _meta(concepts: Sequence[str]) -> Iterator[str]:
    yield "  <meta>\n    <task>\n      <name>cgsam-edge</name>\n      <mode>annotation</mode>\n      <labels>\n"
    for name, colour in _coloured(concepts):
        yield f"        <label>\n          <name>{escape(name)}</name>\n          <color>{colour}</color>\n"
        yield "          <type>any</type>\n          <attributes>\n          </attributes>\n        </label>\n"
    yield "      </labels>\n    </task>\n  </meta>\n"


def _coloured(concepts: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name, (red, green, blue) in zip(concepts, palette(len(concepts)), strict=True):
        yield name, f"#{red:02x}{green:02x}{blue:02x}"
