"""A folder for training YOLO segmentation: a text file of polygons for each picture, and ``data.yaml``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from cgsam_edge.datasets.picture import ImageSource, LabelledObject, LabelledPicture, no_images, number_of, numbers
from cgsam_edge.datasets.places import UniqueStems, place_image
from cgsam_edge.datasets.shapes import bridged
from cgsam_edge.files import make_folder, write_beside
from cgsam_edge.polygons import TOLERANCE

_TRAIN, _VAL = "train", "val"
IMAGES = "images"
"""Folder of the pictures, in whose place Ultralytics expects the folder of their labels."""


@dataclass(frozen=True)
class YoloFormat:
    """``images/SPLIT/``, ``labels/SPLIT/`` and ``data.yaml``.

    A line of a text file is one object: the number of its concept, then the corners of one polygon as shares of width
    and height. Holes and separate parts are joined to it by bridges without width, the documented way to have them in
    one polygon. A picture without objects has an empty file. Pictures without a split are the split "train". A folder
    "images" in a picture's name becomes "images_": Ultralytics finds labels by the last "images" of a path.

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
        known, stems = numbers(concepts), UniqueStems()
        splits: dict[str, None] = {}
        make_folder(output)
        for picture in pictures:
            split, stem = picture.split or _TRAIN, stems.of(_renamed(picture))
            splits[split] = None
            suffix = Path(picture.name).suffix
            place_image(picture, output / IMAGES / split / f"{stem}{suffix}", images)
            lines = "".join(f"{number_of(one, known, picture)} {self._ring(one)}\n" for one in picture.objects)
            target = output / "labels" / split / f"{stem}.txt"
            make_folder(target.parent)
            write_beside(target, lambda path, lines=lines: path.write_bytes(lines.encode()))  # type: ignore[misc]
        text = _data(concepts, list(splits) or [_TRAIN])
        write_beside(output / "data.yaml", lambda path: path.write_bytes(text.encode()))
        return [output / "data.yaml"]

    def _ring(self, one: LabelledObject) -> str:
        height, width = one.rle["size"]
        ring = bridged(one.polygons(self.tolerance))
        return " ".join(f"{round(x / width, 6):g} {round(y / height, 6):g}" for x, y in ring.tolist())


def _renamed(picture: LabelledPicture) -> LabelledPicture:
    """Return the picture with another name where a folder of it is called "images"."""
    *folders, name = PurePosixPath(picture.name).parts
    if IMAGES not in folders:
        return picture
    renamed = PurePosixPath(*(f"{one}_" if one == IMAGES else one for one in folders), name)
    return replace(picture, name=str(renamed))


def _data(concepts: Sequence[str], splits: list[str]) -> str:
    """Return the text of ``data.yaml``; strings of JSON are strings of YAML."""
    # Without a line "path", Ultralytics looks beside this file; "." would be the working folder.
    trained = _TRAIN if _TRAIN in splits else splits[0]
    checked = _VAL if _VAL in splits else trained
    lines = [f"train: {IMAGES}/{trained}"]
    comment = "" if checked != trained else "  # the data set has no split val: these are the pictures of train"
    lines.append(f"val: {IMAGES}/{checked}{comment}")
    lines += [f"{split}: {IMAGES}/{split}" for split in splits if split not in {trained, checked}]
    lines += [
        "names:",
        *(f"  {number}: {json.dumps(name, ensure_ascii=False)}" for number, name in enumerate(concepts)),
    ]
    return "\n".join(lines) + "\n"
