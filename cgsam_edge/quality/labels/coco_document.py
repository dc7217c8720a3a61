"""The JSON of a COCO instance file: which annotations belong to which image, checked entry by entry."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgsam_edge.errors import InputError
from cgsam_edge.quality.labels.coco_categories import category_names, identifier
from cgsam_edge.quality.labels.segmentation import are_fractions, is_missing
from cgsam_edge.wording import amount

_KEYS = ("images", "annotations", "categories")
_FOREIGN = {
    "shapes": "a file of labelme",
    "segments_info": "a panoptic file",
    "_via_img_metadata": "a project of VIA",
    "features": "GeoJSON",
}

_MOST_DIGITS = 10
"""Largest width or height."""


@dataclass(frozen=True)
class Annotation:
    """An instance.

    Attributes:
        where: file and id, for messages.
        name: its category; None if no category has its id.
        category: the category id as written.
        segmentation: as written.
        empty: whether nothing was drawn; tools then write no segmentation and an area of 0.
    """

    where: str
    name: str | None
    category: Any
    segmentation: Any
    empty: bool = False

    def checked_name(self) -> str:
        """Return the category.

        Raises:
            InputError: no category has the annotation's id.
        """
        if self.name is None:
            raise InputError(
                f"{self.where}: no category has the id {self.category!r:.40}. Correct its category_id, or list the "
                "category."
            )
        return self.name

    def checked_segmentation(self) -> Any:
        """Return the segmentation.

        Raises:
            InputError: there is none.
        """
        if is_missing(self.segmentation):
            raise InputError(
                f"{self.where}: has no segmentation, so the pixels of this {self.name!r} are unknown. Draw it, or "
                "remove the annotation."
            )
        return self.segmentation


@dataclass(frozen=True)
class ImageEntry:
    """An image of the file.

    Attributes:
        where: file and id, for messages.
        file_name: as written.
        size: width and height; None if they are not stated.
        annotations: its annotations.
    """

    where: str
    file_name: str
    size: tuple[int, int] | None
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class Document:
    """A COCO instance file.

    Attributes:
        names: its categories, each once.
        images: entries that can be used.
        left_out: other entries, each with the reason.
        notes: entries that are ambiguous.
    """

    names: tuple[str, ...]
    images: tuple[ImageEntry, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def read_document(path: Path) -> Document:
    """Read a COCO instance file.

    Raises:
        InputError: it is not such a file, or a fault in it makes all of it doubtful; the message explains which.
    """
    content = _parse(path)
    used = Counter(identifier(entry.get("category_id")) for entry in content["annotations"])
    categories, notes = category_names(content["categories"], used, path)
    ids = _image_ids(content["images"], path)
    grouped: dict[str | None, list[Annotation]] = defaultdict(list)
    for number, entry in enumerate(content["annotations"]):
        grouped[identifier(entry.get("image_id"))].append(_annotation(entry, number, categories, path))
    left_out = _strays(grouped, ids, content["annotations"])
    _check_segmentations([a for i in ids for a in grouped.get(i, [])], path)
    if not content["annotations"]:
        notes.append(f"{path}: lists no annotation; every category counts as absent from every image.")
    images = []
    for entry in content["images"]:
        try:
            images.append(_image(entry, grouped, path))
        except InputError as error:  # noqa: PERF203 — one bad entry must not end it
            left_out.append(str(error))
    if not images:
        raise InputError(left_out[0])
    return Document(tuple(dict.fromkeys(categories.values())), tuple(images), tuple(left_out), tuple(notes))


def _parse(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the three lists of objects of a COCO file."""
    try:
        content = json.loads(path.read_bytes())  # detects UTF-8, 16 and 32, with or without a byte order mark
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a readable JSON file: it is not UTF-8. Save it as UTF-8.") from error
    except RecursionError as error:
        raise InputError(f"{path}: not a readable JSON file: its lists are nested too deeply.") from error
    except OSError as error:
        raise InputError(f"{path}: not a readable JSON file ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"{path}: not a readable JSON file ({error}).") from error
    missing = [key for key in _KEYS if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise InputError(f"{path}: not a COCO instance file: {_got(content, missing)}.")
    for key in _KEYS:
        for number, entry in enumerate(content[key]):
            if not isinstance(entry, dict):
                raise InputError(f"{path}: entry {number} of {key!r} is {entry!r:.40}; expected an object.")
    if not content["images"]:
        raise InputError(f"{path}: lists no image.")
    return {key: content[key] for key in _KEYS}


def _got(content: Any, missing: Sequence[str]) -> str:
    expected = "expected an object with the lists images, annotations and categories"
    if isinstance(content, list):
        return f"{expected}, got a list (COCO results, or tasks of Label Studio?); export the ground truth as COCO"
    if not isinstance(content, dict):
        return f"{expected}, got {type(content).__name__}"
    for key, tool in _FOREIGN.items():
        if key in content:
            return f"{expected}; this is {tool}. Export it as COCO instances"
    return f"{expected}; {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"


def _image_ids(entries: Sequence[dict[str, Any]], path: Path) -> set[str]:
    """Return the ids of all images.

    Raises:
        InputError: two images have the same id, and would share their annotations.
    """
    ids = Counter(identifier(entry.get("id")) for entry in entries)
    for key, count in ids.items():
        if key is not None and count > 1:
            raise InputError(
                f"{path}: {count} images have the id {key}, so annotations cannot be assigned. Give each image its own "
                "id."
            )
    return {key for key in ids if key is not None}


def _annotation(entry: dict[str, Any], number: int, categories: dict[str, str], path: Path) -> Annotation:
    where = f"{path}, annotation {entry['id']!r:.40}" if "id" in entry else f"{path}, entry {number} of 'annotations'"
    category = entry.get("category_id")
    key = identifier(category)
    segmentation, box = entry.get("segmentation"), entry.get("bbox")
    empty = is_missing(segmentation) and entry.get("area") == 0 and (is_missing(box) or box == [0, 0, 0, 0])
    return Annotation(where, None if key is None else categories.get(key), category, segmentation, empty)


def _image(entry: dict[str, Any], grouped: dict[str | None, list[Annotation]], path: Path) -> ImageEntry:
    key, name = identifier(entry.get("id")), entry.get("file_name")
    where = f"{path}, image {key}" if key is not None else f"{path}, image {name!r:.60}"
    if key is None:
        raise InputError(f"{where}: has no id, so annotations cannot be assigned to it.")
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{where}: 'file_name' is {name!r:.40}; expected a file's name.")
    return ImageEntry(where, name, _size(entry, where), tuple(grouped.get(key, ())))


def _size(entry: dict[str, Any], where: str) -> tuple[int, int] | None:
    """Return width and height; None if they are not stated (some tools write 0)."""
    sides = []
    for key in ("width", "height"):
        value = entry.get(key)
        text = identifier(value)
        if value in (None, 0, "", "0"):
            return None
        if text is None or not (text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS):
            raise InputError(f"{where}: {key!r} is {value!r:.40}; expected pixels.")
        sides.append(int(text))
    return sides[0], sides[1]


def _strays(grouped: dict[str | None, list[Annotation]], ids: set[str], entries: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line on annotations of images that are not listed.

    Raises:
        InputError: all annotations are strays.
    """
    strays = [annotation for key, found in grouped.items() if key not in ids for annotation in found]
    if not strays:
        return []
    line = (
        f"{strays[0].where}: no image in the file has its image_id"
        + (f"; the same goes for {len(strays) - 1} others" if len(strays) > 1 else "")
        + "."
    )
    if len(strays) == len(entries):
        raise InputError(line)
    return [line]


def _check_segmentations(annotations: Sequence[Annotation], path: Path) -> None:
    """Refuse a file whose annotations are all boxes, or all in fractions of the image's size.

    Raises:
        InputError: that is the case.
    """
    annotations = [a for a in annotations if not a.empty]
    if not annotations:
        return
    drawn = [a.segmentation for a in annotations if not is_missing(a.segmentation)]
    if not drawn:
        raise InputError(
            f"{path}: no segmentation in {amount(len(annotations), 'annotation')}, only boxes or key points. Masks are "
            "needed: export the file with polygons or masks."
        )
    if all(are_fractions(value) for value in drawn):
        raise InputError(
            f"{path}: all corners of all polygons are between 0 and 1, like fractions of the image's size. COCO uses "
            "pixels: multiply x by the image's width and y by its height."
        )
