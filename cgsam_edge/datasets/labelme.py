"""LabelMe: a JSON file beside each picture."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from cgsam_edge.datasets.picture import ImageSource, LabelledObject, LabelledPicture, no_images, number_of, numbers
from cgsam_edge.datasets.places import UniqueStems, place_image
from cgsam_edge.datasets.shapes import single_ring
from cgsam_edge.files import make_folder, write_beside
from cgsam_edge.polygons import TOLERANCE

VERSION = "5.2.0"
"""Version of LabelMe whose format this is: the first with masks."""


@dataclass(frozen=True)
class LabelMeFormat:
    """``NAME.json`` beside ``NAME.jpg``, in a folder for each split, and ``labels.txt`` for ``labelme --labels``.

    An object with one outline is a polygon; one with holes or several outlines is a mask. LabelMe opens a file only if
    its picture lies beside it.

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
        make_folder(output)
        for picture in pictures:
            stem = output / (picture.split or "") / stems.of(picture)
            target = stem.with_name(f"{stem.name}{Path(picture.name).suffix}")
            place_image(picture, target, images)
            make_folder(stem.parent)
            text = json.dumps(self._document(picture, target.name, known), ensure_ascii=False, indent=1) + "\n"
            labels = stem.with_name(f"{stem.name}.json")
            write_beside(labels, lambda path, text=text: path.write_bytes(text.encode()))  # type: ignore[misc]
        listed = output / "labels.txt"
        write_beside(listed, lambda path: path.write_bytes("".join(f"{name}\n" for name in concepts).encode()))
        return [listed, output]

    def _document(self, picture: LabelledPicture, image: str, known: dict[str, int]) -> dict[str, Any]:
        for one in picture.objects:
            number_of(one, known, picture)
        return {
            "version": VERSION,
            "flags": {},
            "shapes": [self._shape(one) for one in picture.objects],
            "imagePath": image,
            "imageData": None,
            "imageHeight": picture.height,
            "imageWidth": picture.width,
        }

    def _shape(self, one: LabelledObject) -> dict[str, Any]:
        ring, (x, y, width, height) = single_ring(one, self.tolerance), one.box
        return {
            "label": one.concept,
            "points": [[x, y], [x + width - 1, y + height - 1]] if ring is None else ring.tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "mask" if ring is None else "polygon",
            "flags": {},
            "mask": _png(one) if ring is None else None,
            "score": round(one.score, 6),
            "presence": round(one.presence, 6),
        }


def _png(one: LabelledObject) -> str:
    file = io.BytesIO()
    Image.fromarray(one.crop()).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
