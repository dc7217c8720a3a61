"""COCO instance files in the forms that annotation tools write."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.quality.labels.coco_document import Annotation, ImageEntry, read_document
from cgsam_edge.quality.labels.folders import ImageFolder
from cgsam_edge.quality.labels.frame import Photo, read_photo, turned
from cgsam_edge.quality.labels.labelled import LabelEntry, LabelledImage, Labels
from cgsam_edge.quality.labels.segmentation import SegmentationPart, segmentation_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Size = tuple[int, int]

_FAR = 1.1
_HINT = "If its polygons were nevertheless drawn upright, as in some tools, add --labels-orientation upright."


def open_coco(images: Path, annotations: Path, drawn_on: str | None = None) -> Labels:
    """Open a COCO instance file.

    Instances of a category are joined, including those marked ``iscrowd``. Categories with the same name are one class.

    Args:
        images: the folder of its images, or a parent folder.
        annotations: the JSON file.
        drawn_on: one of `ORIENTATIONS`; None means upright, and refuses labels that only fit the stored pixels.

    Raises:
        InputError: the file is not a COCO instance file, or none of its images is in the folder.
    """
    document = read_document(annotations)
    folder = ImageFolder(images)
    left_out, notes = list(document.left_out), list(document.notes)
    found: dict[Path, list[ImageEntry]] = {}
    for entry in document.images:
        try:
            found.setdefault(folder.find(entry.file_name), []).append(entry)
        except InputError as error:  # noqa: PERF203 — one bad entry must not end it
            left_out.append(f"{entry.where}: {error}")
    joined: dict[Path, _Labelled] = {}
    for path, entries_of in found.items():
        for entry in _meant(path, entries_of, folder, left_out, notes):
            try:
                _join(joined, path, entry, notes)
            except InputError as error:  # noqa: PERF203 — one bad entry must not end it
                left_out.append(f"{entry.where}: {error}")
    if not joined:
        raise InputError(f"{annotations}: none of its images can be used. The first: {left_out[0]}")
    entries = [LabelEntry(path, partial(_load, one, drawn_on)) for path, one in joined.items()]
    return Labels(document.names, tuple(entries), tuple(left_out), tuple(notes))


@dataclass(frozen=True)
class _Labelled:
    """An image and its annotations.

    Attributes:
        path: the image.
        entry: the first entry that names it.
        annotations: annotations of all entries that name it.
    """

    path: Path
    entry: ImageEntry
    annotations: tuple[Annotation, ...]


def _meant(
    path: Path, entries: list[ImageEntry], folder: ImageFolder, left_out: list[str], notes: list[str]
) -> list[ImageEntry]:
    """Return the entries for a file: of several names (train/1.png, val/1.png), the one that matches its folders."""
    names = dict.fromkeys(entry.file_name for entry in entries)
    agreeing = [name for name in names if folder.agrees(name, path)]
    if len(names) == 1:
        if not agreeing:
            notes.append(
                f"{entries[0].where}: {entries[0].file_name!r} was matched to {path}, which lies in other folders. "
                "Check that these labels belong to these images."
            )
        return entries
    chosen = agreeing[0] if len(agreeing) == 1 else None
    left_out += [
        f"{entry.where}: {entry.file_name!r} could be {path}, and so could another entry. Correct the folders in "
        "'file_name'."
        for entry in entries
        if entry.file_name != chosen
    ]
    return [entry for entry in entries if entry.file_name == chosen]


def _join(joined: dict[Path, _Labelled], path: Path, entry: ImageEntry, notes: list[str]) -> None:
    """Add an entry; entries that name the same file are joined."""
    if path not in joined:
        joined[path] = _Labelled(path, entry, entry.annotations)
        return
    first = joined[path].entry
    if first.size != entry.size:
        raise InputError(f"{path.name} is also {first.where}, there with another size. Keep one of the two.")
    notes.append(f"{entry.where}: {path.name} is also {first.where}; their annotations were joined.")
    joined[path] = _Labelled(path, first, joined[path].annotations + entry.annotations)


def _load(labelled: _Labelled, drawn_on: str | None, names: frozenset[str] | None, notes: list[str]) -> LabelledImage:
    photo = read_photo(labelled.path)
    if photo.doubtful and drawn_on is None:
        notes.append(photo.doubt())
    masks: dict[str, Mask] = {}
    for annotation in labelled.annotations:
        name = annotation.checked_name()
        if annotation.empty or (names is not None and name not in names):
            continue
        mask = _mask(annotation, photo, labelled.entry, drawn_on)
        if not mask.any():
            notes.append(f"{annotation.where}: covers no pixel.")
        masks[name] = masks[name] | mask if name in masks else mask
    return LabelledImage(labelled.path, masks)


def _mask(annotation: Annotation, photo: Photo, entry: ImageEntry, drawn_on: str | None) -> Mask:
    """Return an annotation's mask (H, W) on the upright photo."""
    segmentation = annotation.checked_segmentation()
    canvas = _canvas(photo, entry, drawn_on)
    masks = []
    try:
        for part in segmentation_parts(segmentation):
            size = part.size or canvas
            if part.size is None:
                _check_reach(part, canvas)
            turn = photo.is_turned(size, drawn_on, "its mask" if part.size else entry.where, _HINT)
            mask = part.draw(*size)
            masks.append(turned(mask, photo.orientation) if turn else mask)
    except InputError as error:
        raise InputError(f"{annotation.where}: {error}") from error
    return np.asarray(np.logical_or.reduce(masks), bool)


def _canvas(photo: Photo, entry: ImageEntry, drawn_on: str | None) -> Size:
    """Return the size of the picture that polygons were drawn on."""
    if drawn_on == "upright" and entry.size == photo.stored:
        return photo.upright  # some tools state the stored size of photos, although polygons were drawn upright
    return entry.size or (photo.stored if drawn_on == "stored" else photo.upright)


def _check_reach(part: SegmentationPart, size: Size) -> None:
    """Refuse polygons that reach far outside the picture, as far as its size is known."""
    for axis, reach, side in zip("xy", part.reach, size, strict=True):
        if reach > _FAR * side:
            raise InputError(
                f"a polygon reaches {axis} = {reach:g}, but its image has {size[0]}x{size[1]} pixels: it was drawn on "
                "a picture of another size. Set 'width' and 'height' to the size of the image that was labelled."
            )
