"""A small COCO dataset to be changed by tests: two pictures of 60x40, a car in the first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cgsam_edge.quality.labels import LabelledImage, Remarks
from cgsam_edge.quality.labels.coco import open_coco

SQUARE = [[10, 10, 20, 10, 20, 20, 10, 20]]
"""100 pixels."""

OTHER = [[30, 20, 40, 20, 40, 30, 30, 30]]
"""100 others."""


class Dataset:
    """Images in ``images/`` and a document that `read` writes to ``coco.json`` first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.images.mkdir()
        self.path = folder / "coco.json"
        for name in ("a.png", "b.png"):
            self.picture(name)
        self.document: dict[str, Any] = {
            "images": [
                {"id": 7, "file_name": "a.png", "width": 60, "height": 40},
                {"id": 8, "file_name": "b.png", "width": 60, "height": 40},
            ],
            "categories": [{"id": 3, "name": "car", "supercategory": "vehicle"}, {"id": 4, "name": "road"}],
            "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": SQUARE, "iscrowd": 0}],
        }

    def picture(self, name: str, size: tuple[int, int] = (60, 40), orientation: int | None = None) -> Path:
        """Write a picture; EXIF gets the orientation."""
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if orientation is not None:
            exif[0x0112] = orientation
        Image.new("RGB", size, (90, 120, 60)).save(path, exif=exif)
        return path

    def annotate(self, **changes: Any) -> None:
        """Change the first annotation; None as a string, "absent", takes a key away."""
        for key, value in changes.items():
            if isinstance(value, str) and value == "absent":
                del self.document["annotations"][0][key]
            else:
                self.document["annotations"][0][key] = value

    def read(self, drawn_on: str | None = None) -> tuple[dict[str, LabelledImage], Remarks]:
        """Read all labels, by the path of the image within its folder."""
        self.path.write_text(json.dumps(self.document))
        remarks = Remarks()
        found = list(open_coco(self.images, self.path, drawn_on).read(remarks))
        return {image.path.relative_to(self.images).as_posix(): image for image in found}, remarks

    def pixels(self, drawn_on: str | None = None) -> int:
        """Read, and return how many pixels of a.png are a car; nothing may be left out."""
        images, remarks = self.read(drawn_on)
        assert not remarks.left_out
        return int(np.count_nonzero(images["a.png"].masks["car"]))
