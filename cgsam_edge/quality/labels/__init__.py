"""Labelled images on disk: index PNGs with a class file, or COCO JSON. `open_labels` opens either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cgsam_edge.errors import InputError
from cgsam_edge.quality.defaults import ORIENTATIONS
from cgsam_edge.quality.labels.classes import Classes, read_classes
from cgsam_edge.quality.labels.coco import open_coco
from cgsam_edge.quality.labels.folders import IMAGE_SUFFIXES, image_files
from cgsam_edge.quality.labels.index_labels import open_index_labels
from cgsam_edge.quality.labels.labelled import LabelEntry, LabelledImage, Labels, Remarks
from cgsam_edge.quality.labels.matching import MatchedClasses, by_concept, match_classes, unknown_classes

__all__ = [
    "IMAGE_SUFFIXES",
    "ORIENTATIONS",
    "Classes",
    "LabelEntry",
    "LabelledImage",
    "Labels",
    "MatchedClasses",
    "Remarks",
    "by_concept",
    "coco_names",
    "image_files",
    "match_classes",
    "open_labels",
    "read_classes",
    "read_coco",
    "read_index_labels",
    "unknown_classes",
]


def open_labels(images: Path, labels: Path, classes: Path | None = None, drawn_on: str | None = None) -> Labels:
    """Open the labels of a folder of images.

    Args:
        images: the folder.
        labels: a folder of index PNGs, or a COCO JSON file.
        classes: the class file of index PNGs.
        drawn_on: one of `ORIENTATIONS`: how photos with an EXIF rotation were labelled. None means upright, and refuses
            labels that only fit the stored pixels.

    Raises:
        InputError: a file cannot be used, or none of the images has labels.
    """
    if not labels.exists():
        raise InputError(f"{labels}: no such file or folder.")
    if labels.is_file():
        if classes is not None:
            raise InputError(f"{classes}: a class file is for index PNGs; {labels} names its own categories.")
        return open_coco(images, labels, drawn_on)
    if classes is None:
        raise InputError(f"{labels}: index PNGs need a class file (--classes) with one concept a line, in index order.")
    return open_index_labels(images, labels, read_classes(classes), drawn_on)


def read_index_labels(
    images: Path, labels: Path, classes: Classes, remarks: Remarks | None = None
) -> Iterator[LabelledImage]:
    """Yield the images of a folder that have an index PNG of the same name, in order; see `Labels.read`."""
    yield from open_index_labels(images, labels, classes).read(remarks)


def read_coco(
    images: Path, annotations: Path, names: tuple[str, ...] | None = None, remarks: Remarks | None = None
) -> Iterator[LabelledImage]:
    """Yield the images of a COCO instance file; ``names`` selects categories, None takes all. See `Labels.read`."""
    yield from open_coco(images, annotations).read(remarks, None if names is None else frozenset(names))


def coco_names(annotations: Path) -> tuple[str, ...]:
    """Return the names of a COCO file's categories, each once, in its order."""
    from cgsam_edge.quality.labels.coco_document import read_document

    return read_document(annotations).names
