"""COCO instances: one JSON file for each split, with numbers that follow from the order of pictures and concepts."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cgsam_edge._version import __version__
from cgsam_edge.datasets.picture import (
    ImageSource,
    LabelledObject,
    LabelledPicture,
    no_images,
    number_of,
    numbers,
)
from cgsam_edge.datasets.places import DEFAULT_SPLIT, place_image
from cgsam_edge.files import beside, make_folder
from cgsam_edge.polygons import TOLERANCE


@dataclass
class _CocoFile:
    """One file in the making: pictures go into it, annotations into a second file that is appended at the end."""

    pictures: IO[str]
    annotations: IO[str]
    concepts: Sequence[str]
    pictures_so_far: int = field(default=0, init=False)
    annotations_so_far: int = field(default=0, init=False)

    @classmethod
    @contextmanager
    def open(cls, path: Path, concepts: Sequence[str]) -> Iterator[_CocoFile]:
        """Open a file that appears under its name when the block succeeds."""
        with beside(path) as partial, ExitStack() as stack:
            opened = stack.enter_context(partial.open("w", encoding="utf-8", newline="\n"))
            more = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=path.parent))
            made = cls(opened, more, concepts)
            opened.write('{"info": ' + json.dumps({"description": f"labelled by cgsam-edge {__version__}"}))
            opened.write(',\n"licenses": [],\n"images": [')
            yield made
            made.conclude()

    def add(self, picture: LabelledPicture, annotations: Iterable[dict[str, Any]]) -> None:
        """Add a picture and its annotations."""
        self.pictures_so_far += 1
        entry = {"id": self.pictures_so_far, "file_name": picture.name, "width": picture.width}
        self.pictures.write(_separator(self.pictures_so_far) + _dumped(entry | {"height": picture.height}))
        for annotation in annotations:
            self.annotations_so_far += 1
            whole = {"id": self.annotations_so_far, "image_id": self.pictures_so_far, **annotation}
            self.annotations.write(_separator(self.annotations_so_far) + _dumped(whole))

    def conclude(self) -> None:
        """Append the annotations and the categories."""
        self.pictures.write('\n],\n"annotations": [')
        self.annotations.seek(0)
        shutil.copyfileobj(self.annotations, self.pictures)
        named = [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(self.concepts, 1)]
        self.pictures.write('\n],\n"categories": ' + _dumped(named) + "}\n")


def _separator(count: int) -> str:
    return "\n" if count == 1 else ",\n"


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class CocoFormat:
    """``annotations/instances_SPLIT.json``, and ``images/`` if pictures are copied.

    A category's id is the concept's number from 1. Ids of pictures and annotations count from 1 in each file.
    Annotations have two fields beside COCO's, ``score`` and ``presence``.

    Attributes:
        polygons: whether masks without holes are polygons, which tools can edit; others are always RLE, because a
            polygon of COCO has no holes. False writes every mask as RLE, exactly.
        tolerance: of the polygons, in pixels.
    """

    polygons: bool = True
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
        known, files = numbers(concepts), {}
        folder = make_folder(output / "annotations")
        with ExitStack() as stack:
            for picture in pictures:
                split = picture.split or DEFAULT_SPLIT
                if split not in files:
                    target = folder / f"instances_{split}.json"
                    files[split] = (target, stack.enter_context(_CocoFile.open(target, concepts)))
                place_image(picture, output / "images" / picture.name, images)
                files[split][1].add(picture, self._annotations(picture, known))
            if not files:
                target = folder / f"instances_{DEFAULT_SPLIT}.json"
                files[DEFAULT_SPLIT] = (target, stack.enter_context(_CocoFile.open(target, concepts)))
        return [target for target, _ in files.values()]

    def _annotations(self, picture: LabelledPicture, known: dict[str, int]) -> Iterator[dict[str, Any]]:
        for one in picture.objects:
            yield {
                "category_id": number_of(one, known, picture) + 1,
                "segmentation": self._segmentation(one),
                "area": one.area,
                "bbox": list(one.box),
                "iscrowd": 0,
                "score": round(one.score, 6),
                "presence": round(one.presence, 6),
            }

    def _segmentation(self, one: LabelledObject) -> Any:
        if not self.polygons:
            return one.rle
        found = one.polygons(self.tolerance)
        if any(polygon.holes for polygon in found):
            return one.rle
        return [polygon.exterior.astype(int).ravel().tolist() for polygon in found]
