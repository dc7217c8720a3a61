"""Labelled images: index PNGs with a class file, or COCO JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from cgsam_edge.errors import InputError
from cgsam_edge.rle import decode_rle

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Classes:
    """A class file.

    Attributes:
        names: concepts, in the order of their indices; an ignored index is no concept's.
        ignored: indices whose pixels count for nothing.
    """

    names: tuple[str, ...]
    ignored: frozenset[int] = frozenset()

    @property
    def by_index(self) -> dict[int, str]:
        """Names by index: 0, 1, 2 and so on, the ignored ones left out."""
        free = (i for i in count() if i not in self.ignored)
        return dict(zip(free, self.names, strict=False))


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image and what is in it.

    Attributes:
        path: the image.
        masks: bool (H, W) by concept; a concept that is missing here is not in the image.
        valid: bool (H, W), False where pixels count for nothing; None where all count.
    """

    path: Path
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    valid: NDArray[np.bool_] | None = None


def read_classes(path: Path) -> Classes:
    """Read a class file: one concept a line in index order; ``ignore: 255`` lines name indices that are no concept.

    Raises:
        InputError: the file is missing, not UTF-8, names no concept or one twice, or an ignored index is no number.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a class file ({error}).") from error
    names, ignored = [], set()
    for number, line in enumerate((raw.strip() for raw in lines), start=1):
        if line.startswith("ignore:"):
            if not line[7:].strip().isdigit():
                raise InputError(f"{path}, line {number}: expected 'ignore: INDEX', got {line!r}.")
            ignored.add(int(line[7:]))
        elif line:
            if line in names:
                raise InputError(f"{path}, line {number}: {line!r} is named twice.")
            names.append(line)
    if not names:
        raise InputError(f"{path}: names no concept. Write one a line, in the order of their indices.")
    return Classes(tuple(names), frozenset(ignored))


def read_index_labels(images: Path, labels: Path, classes: Classes) -> Iterator[LabelledImage]:
    """Yield the images of a folder that have a PNG of class indices of the same stem, in order of names.

    Raises:
        InputError: a folder is empty or no file of one has a partner in the other; a label has another size than its
            image, is no 8-bit index image, or holds an index with no class.
    """
    pairs = [(p, labels / f"{p.stem}.png") for p in _images(images) if (labels / f"{p.stem}.png").is_file()]
    if not pairs:
        raise InputError(f"{labels}: holds no PNG with the name of an image in {images}.")
    for image, label in pairs:
        yield _index_label(image, label, classes)


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder.")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)}).")
    return found


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.width, image.height
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: not a readable image ({error}).") from error


def _index_label(image: Path, label: Path, classes: Classes) -> LabelledImage:
    size, label_size = _size(image), _size(label)
    if size != label_size:
        raise InputError(f"{label}: {label_size[0]}x{label_size[1]} pixels; its image has {size[0]}x{size[1]}.")
    with Image.open(label) as opened:
        if opened.mode not in ("L", "P"):
            raise InputError(f"{label}: expected a PNG of 8-bit class indices, got Pillow mode {opened.mode}.")
        indices = np.asarray(opened)
    present = set(np.unique(indices).tolist())
    unknown = sorted(present - classes.by_index.keys() - classes.ignored)
    if unknown:
        raise InputError(
            f"{label}: holds index {unknown[0]}, which has no class (0 to {max(classes.by_index)}). Name it in the "
            f"class file, or write 'ignore: {unknown[0]}' there."
        )
    masks = {name: indices == i for i, name in classes.by_index.items() if i in present}
    return LabelledImage(image, masks, ~np.isin(indices, list(classes.ignored)))


def read_coco(images: Path, annotations: Path, names: tuple[str, ...] | None = None) -> Iterator[LabelledImage]:
    """Yield the images of a COCO instance file; instances of a category are joined.

    Args:
        images: the folder of its images.
        annotations: the JSON file.
        names: which categories to take; None means all.

    Raises:
        InputError: the file is no COCO JSON, an image is missing, or a segmentation does not fit its image.
    """
    document = _read_json(annotations)
    categories = {c["id"]: str(c["name"]) for c in document["categories"]}
    grouped: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for annotation in document["annotations"]:
        grouped[annotation["image_id"]].append(annotation)
    if not document["images"]:
        raise InputError(f"{annotations}: lists no image.")
    for entry in document["images"]:
        path = images / str(entry["file_name"])
        width, height = _size(path)
        masks: dict[str, NDArray[np.bool_]] = {}
        for annotation in grouped[entry["id"]]:
            name = categories.get(annotation["category_id"], "")
            if names is None or name in names:
                mask = _segmentation(annotation["segmentation"], width, height, path)
                masks[name] = masks[name] | mask if name in masks else mask
        yield LabelledImage(path, masks)


def coco_names(annotations: Path) -> tuple[str, ...]:
    """Return the names of a COCO file's categories, in its order."""
    return tuple(str(c["name"]) for c in _read_json(annotations)["categories"])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error}).") from error
    if not isinstance(document, dict) or not {"images", "annotations", "categories"} <= document.keys():
        raise InputError(f"{path}: not a COCO file: expected the keys images, annotations and categories.")
    return document


def _segmentation(value: Any, width: int, height: int, path: Path) -> NDArray[np.bool_]:
    """Return a polygon list or an RLE as a mask (height, width)."""
    if isinstance(value, dict):
        if list(value.get("size", ())) != [height, width]:
            raise InputError(f"{path}: a mask of size {value.get('size')}; expected [{height}, {width}].")
        return decode_rle(value)
    canvas = np.zeros((height, width), np.uint8)
    polygons = [np.asarray(p, np.float64).reshape(-1, 2).round().astype(np.int32) for p in value]
    cv2.fillPoly(canvas, polygons, (1,))
    return canvas.astype(bool)
