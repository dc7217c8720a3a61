"""Data sets from results: the forms that training, labelling tools and maps take.

    from cgsam_edge.datasets import FORMATS, labelled

    pictures = (labelled(name, segmenter.segment(folder / name)) for name in names)
    FORMATS["coco"].write(pictures, ["car", "road"], Path("out"), images=folder.joinpath)

Formats are written a picture at a time, so that a data set may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cgsam_edge.datasets.coco import CocoFormat
from cgsam_edge.datasets.picture import (
    DatasetFormat,
    ImageSource,
    LabelledObject,
    LabelledPicture,
    labelled,
    no_images,
)

__all__ = [
    "FORMATS",
    "CocoFormat",
    "DatasetFormat",
    "ImageSource",
    "LabelledObject",
    "LabelledPicture",
    "labelled",
    "no_images",
]

FORMATS: Mapping[str, DatasetFormat] = MappingProxyType({"coco": CocoFormat()})
"""Each format by its name on the command line, with its default settings."""
