"""Label Studio: tasks with predictions, which a person corrects and submits, and the labelling interface for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from cgsam_edge._version import __version__
from cgsam_edge.datasets.brush import encode_brush
from cgsam_edge.datasets.picture import ImageSource, LabelledObject, LabelledPicture, no_images, number_of, numbers
from cgsam_edge.datasets.places import place_image
from cgsam_edge.datasets.shapes import single_ring
from cgsam_edge.files import beside, make_folder, write_beside
from cgsam_edge.overlay import palette
from cgsam_edge.polygons import TOLERANCE

_POLYGON, _BRUSH, _IMAGE = "polygon", "brush", "image"


@dataclass(frozen=True)
class LabelStudioFormat:
    """``tasks.json``, ``config.xml`` for the project's labelling interface, and ``images/``.

    An object with one outline is a polygon; one with holes or several outlines is a brush stroke, exactly its mask.
    The score of a region is its concept's presence, and that of a prediction the least of its regions, by which
    Label Studio can sort.

    Attributes:
        tolerance: of the polygons, in pixels.
        address: what comes before a picture's name in its address. By default, Label Studio serves local files whose
            document root is the data set's folder.
    """

    tolerance: float = TOLERANCE
    address: str = "/data/local-files/?d=images/"

    def write(
        self,
        pictures: Iterable[LabelledPicture],
        concepts: Sequence[str],
        output: Path,
        *,
        images: ImageSource = no_images,
    ) -> list[Path]:
        """Write the data set; see `cgsam_edge.datasets.DatasetFormat`."""
        known, target = numbers(concepts), make_folder(output) / "tasks.json"
        with beside(target) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
            separator = "[\n"
            for picture in pictures:
                place_image(picture, output / "images" / picture.name, images)
                file.write(separator + json.dumps(self._task(picture, known), ensure_ascii=False))
                separator = ",\n"
            file.write("\n]\n" if separator == ",\n" else "[]\n")
        write_beside(output / "config.xml", lambda path: path.write_bytes(_interface(concepts).encode()))
        return [target, output / "config.xml"]

    def _task(self, picture: LabelledPicture, known: dict[str, int]) -> dict[str, Any]:
        data = {"image": self.address + quote(picture.name)}
        if picture.split is not None:
            data["split"] = picture.split
        regions = []
        for number, one in enumerate(picture.objects, 1):
            number_of(one, known, picture)
            regions.append(self._region(f"object{number}", one, picture))
        prediction: dict[str, Any] = {"model_version": f"cgsam-edge {__version__}", "result": regions}
        if regions:
            prediction["score"] = min(region["score"] for region in regions)
        return {"data": data, "predictions": [prediction]}

    def _region(self, name: str, one: LabelledObject, picture: LabelledPicture) -> dict[str, Any]:
        ring = single_ring(one, self.tolerance)
        kind = _BRUSH if ring is None else _POLYGON
        value: dict[str, Any] = {f"{kind}labels": [one.concept]}
        if ring is None:
            size = (picture.width, picture.height)
            value |= {"format": "rle", "rle": encode_brush(one.crop(), one.box, size)}
        else:
            percent = ring * [100 / picture.width, 100 / picture.height]
            value |= {"points": percent.round(4).tolist(), "closed": True}
        return {
            "id": name,
            "type": f"{kind}labels",
            "from_name": kind,
            "to_name": _IMAGE,
            "original_width": picture.width,
            "original_height": picture.height,
            "image_rotation": 0,
            "score": round(one.presence, 6),
            "value": value,
        }


def _interface(concepts: Sequence[str]) -> str:
    """Return the labelling interface: both kinds of labels over the picture."""
    labels = []
    for name, (red, green, blue) in zip(concepts, palette(len(concepts)), strict=True):
        labels.append(f'    <Label value={quoteattr(name)} background="#{red:02x}{green:02x}{blue:02x}"/>')
    inner = "\n".join(labels)
    return (
        f'<View>\n  <Image name="{_IMAGE}" value="$image" zoom="true"/>\n'
        f'  <PolygonLabels name="{_POLYGON}" toName="{_IMAGE}">\n{inner}\n  </PolygonLabels>\n'
        f'  <BrushLabels name="{_BRUSH}" toName="{_IMAGE}">\n{inner}\n  </BrushLabels>\n</View>\n'
    )
