"""Data sets from results: the formats that training, labelling tools and maps take.

    from cgsam_edge.datasets import FORMATS, labelled

    pictures = (labelled(name, segmenter.segment(folder / name)) for name in names)
    FORMATS["coco"].write(pictures, ["car", "road"], Path("out"), images=folder.joinpath)

Formats are written a picture at a time, so that a data set may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cgsam_edge.datasets.coco import CocoFormat
from cgsam_edge.datasets.cvat import CvatFormat
from cgsam_edge.datasets.geojson import GeoJsonFormat
from cgsam_edge.datasets.labelme import LabelMeFormat
from cgsam_edge.datasets.labelstudio import LabelStudioFormat
from cgsam_edge.datasets.picture import (
    DatasetFormat,
    ImageSource,
    LabelledObject,
    LabelledPicture,
    labelled,
    no_images,
)
from cgsam_edge.datasets.voc import VocFormat
from cgsam_edge.datasets.yolo import YoloFormat

__all__ = [
    "FORMATS",
    "POLYGON_FORMATS",
    "CocoFormat",
    "CvatFormat",
    "DatasetFormat",
    "GeoJsonFormat",
    "ImageSource",
    "LabelMeFormat",
    "LabelStudioFormat",
    "LabelledObject",
    "LabelledPicture",
    "VocFormat",
    "YoloFormat",
    "labelled",
    "no_images",
]

FORMATS: Mapping[str, DatasetFormat] = MappingProxyType(
    {
        "coco": CocoFormat(),
        "yolo": YoloFormat(),
        "voc": VocFormat(),
        "labelstudio": LabelStudioFormat(),
        "cvat": CvatFormat(),
        "labelme": LabelMeFormat(),
        "geojson": GeoJsonFormat(),
    }
)
"""Each format by its name on the command line, with its default settings."""

POLYGON_FORMATS = frozenset(name for name, one in FORMATS.items() if hasattr(one, "tolerance"))
"""Names of the formats that hold polygons: `LabelledObject.outlines` spare their writers most of the work."""
