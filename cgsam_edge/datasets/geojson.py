"""GeoJSON: a feature collection for each picture, in pixels or in the coordinates of a GeoTIFF."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import TiffImagePlugin

from cgsam_edge.datasets.picture import ImageSource, LabelledObject, LabelledPicture, no_images, number_of, numbers
from cgsam_edge.datasets.places import UniqueStems, place_image
from cgsam_edge.errors import MissingLibraryError
from cgsam_edge.files import make_folder, write_beside
from cgsam_edge.polygons import TOLERANCE, signed_area

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float64]

_GEOREFERENCED = (33550, 33922, 34264)
"""TIFF's tags of a scale, tie points, and a transformation."""

_WGS84 = "EPSG:4326"
"""The system that GeoJSON means where it names none."""


@dataclass(frozen=True)
class Georeference:
    """How a picture's pixels lie on the ground.

    Attributes:
        apply: function from corners in pixels, float64 (n, 2), to coordinates.
        members: what a feature collection in these coordinates says about them.
    """

    apply: Callable[[Float], Float]
    members: Mapping[str, Any]


_PIXELS = Georeference(lambda corners: corners, {"units": "pixels, y down"})


@dataclass(frozen=True)
class GeoJsonFormat:
    """``NAME.geojson`` for each picture, in a folder for each split.

    A feature is an object with `concept`, `score`, `presence` and `area` in pixels: a polygon with its holes, or
    several. Coordinates are those of the picture if it is a GeoTIFF, with its system as the member `crs`; the member is
    left out for WGS 84, which GeoJSON implies, and null where the file names no system. Other pictures are in pixels,
    with y pointing down, and the collection says so in `units`.

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
        """Write the data set; see `cgsam_edge.datasets.DatasetFormat`.

        Raises:
            MissingLibraryError: a picture is a GeoTIFF, and rasterio is not installed.
        """
        known, stems = numbers(concepts), UniqueStems()
        make_folder(output)
        for picture in pictures:
            stem = output / (picture.split or "") / stems.of(picture)
            source = images(picture.name)
            target = stem.with_name(f"{stem.name}{Path(picture.name).suffix}")
            place_image(picture, target, lambda _, source=source: source)  # type: ignore[misc]
            make_folder(stem.parent)
            document = self._collection(picture, known, georeference(source))
            text = json.dumps(document, ensure_ascii=False) + "\n"
            target = stem.with_name(f"{stem.name}.geojson")
            write_beside(target, lambda path, text=text: path.write_bytes(text.encode()))  # type: ignore[misc]
        return [output]

    def _collection(self, picture: LabelledPicture, known: dict[str, int], where: Georeference) -> dict[str, Any]:
        features = []
        for one in picture.objects:
            number_of(one, known, picture)
            features.append(self._feature(one, where))
        return {"type": "FeatureCollection", "name": picture.name, **where.members, "features": features}

    def _feature(self, one: LabelledObject, where: Georeference) -> dict[str, Any]:
        found = [
            [_ring(where.apply(ring.astype(np.float64)), outer=i == 0) for i, ring in enumerate(polygon.rings)]
            for polygon in one.polygons(self.tolerance)
        ]
        alone = len(found) == 1
        scores = {"score": round(one.score, 6), "presence": round(one.presence, 6)}
        return {
            "type": "Feature",
            "properties": {"concept": one.concept, **scores, "area": one.area},
            "geometry": {"type": "Polygon" if alone else "MultiPolygon", "coordinates": found[0] if alone else found},
        }


def _ring(corners: Float, *, outer: bool) -> list[list[float]]:
    """Return a closed ring, counterclockwise for an outer one where y points up, as GeoJSON asks."""
    if (signed_area(corners) > 0) != outer:
        corners = corners[::-1]
    return [*corners.tolist(), corners[0].tolist()]


def georeference(source: Path | bytes | None) -> Georeference:
    """Return how a picture's pixels lie on the ground; pixels themselves if it does not say so.

    Raises:
        MissingLibraryError: it is a GeoTIFF, and rasterio is not installed.
    """
    if source is None or not _is_georeferenced(source):
        return _PIXELS
    try:
        import rasterio
        from rasterio.transform import from_gcps
    except ImportError as error:
        raise MissingLibraryError(
            "the picture is a GeoTIFF; its coordinates need rasterio: pip install 'cgsam-edge[tiff]'."
        ) from error
    with rasterio.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
        points, system = opened.gcps  # control points, if the file has them in place of a transformation
        a, b, c, d, e, f = (from_gcps(points) if points else opened.transform)[:6]
        system = system if points else opened.crs
    matrix, offset = np.array([[a, b], [d, e]]), np.array([c, f])
    return Georeference(lambda corners: corners @ matrix.T + offset, _system(system))


def _is_georeferenced(source: Path | bytes) -> bool:
    """Whether a file is a TIFF with tags of a place; nothing but tags is read, so that it may have any size."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        head = file.read(8)
        if head[:4] not in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
            return False
        tags = TiffImagePlugin.ImageFileDirectory_v2(head + (file.read(8) if b"+" in head[:4] else b""))
        file.seek(tags.next)
        tags.load(file)
        return any(tag in tags for tag in _GEOREFERENCED)


def _system(system: Any) -> dict[str, Any]:
    """Return the member `crs` for a coordinate system of rasterio, by the name that GDAL and QGIS read."""
    if system is None:
        return {"crs": None}
    if system == _WGS84:
        return {}
    code = system.to_epsg()
    name = system.to_wkt() if code is None else f"urn:ogc:def:crs:EPSG::{code}"
    return {"crs": {"type": "name", "properties": {"name": name}}}
