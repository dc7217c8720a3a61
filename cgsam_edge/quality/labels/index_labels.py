"""Labels as PNGs of class indices, matched to the images of a folder by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.quality.labels.classes import Classes
from cgsam_edge.quality.labels.folders import image_files, image_files_or_none, same_form
from cgsam_edge.quality.labels.frame import read_photo, turned
from cgsam_edge.quality.labels.index_png import read_indices
from cgsam_edge.quality.labels.labelled import LabelEntry, LabelledImage, Labels
from cgsam_edge.written_files import is_marked_png

_SUFFIX = ".png"


def open_index_labels(images: Path, labels: Path, classes: Classes, drawn_on: str | None = None) -> Labels:
    """Match the images of a folder with the index PNGs of the same name, ignoring the suffix.

    Args:
        images: folder of images.
        labels: folder of their labels; may be the same folder.
        classes: the concept of each index.
        drawn_on: one of `ORIENTATIONS`; None means upright, and refuses labels that only fit the stored pixels.

    Raises:
        InputError: there is no such folder, or none of the images has a label.
    """
    pairs, left_out = _pairs(images, labels)
    if not pairs:
        raise InputError(f"{labels}: holds no PNG with the name of an image in {images}.")
    entries = [LabelEntry(image, partial(_load, image, label, classes, drawn_on)) for image, label in pairs]
    return Labels(classes.names, tuple(entries), tuple(left_out), classes.notes)


def _pairs(images: Path, labels: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Return images with their labels, and the reasons why other images are left out."""
    found, drawn = image_files(images), image_files_or_none(labels)
    if images.resolve() == labels.resolve():
        found = sorted(set(found) - labels_beside(found))
    stems = {_stem(path) for path in found}
    by_name = _grouped(drawn)
    candidates = {image: _namesakes(image, by_name, stems) for image in found}
    users = Counter(label for namesakes in candidates.values() for label in namesakes)
    pairs, left_out = [], []
    for image, namesakes in candidates.items():
        pngs = [path for path in namesakes if is_png(path)]
        if is_marked_png(image):
            left_out.append(f"{image}: cgsam drew it, from another picture.")
        elif len(pngs) == 1 and users[pngs[0]] == 1:
            pairs.append((image, pngs[0]))
        else:
            left_out.append(_reason(image, namesakes, pngs, labels))
    return pairs, left_out


def _stem(path: Path) -> str:
    return same_form(path.stem)


def _grouped(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Return paths by their name without suffix, ignoring case."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[_stem(path).casefold()].append(path)
    return groups


def _namesakes(image: Path, labels: dict[str, list[Path]], stems: set[str]) -> list[Path]:
    """Return the labels with an image's name, or with its name in another case if no other image has that name."""
    others = [path for path in labels.get(_stem(image).casefold(), []) if path != image]
    exact = [path for path in others if _stem(path) == _stem(image)]
    return exact or [path for path in others if _stem(path) not in stems]


def labels_beside(paths: Sequence[Path]) -> set[Path]:
    """Return those PNGs that have the name of another image that is not a PNG."""
    photos = {(path.parent, _stem(path)) for path in paths if not is_png(path)}
    return {path for path in paths if is_png(path) and (path.parent, _stem(path)) in photos}


def is_png(path: Path) -> bool:
    """Return whether a file is named like a PNG."""
    return path.suffix.lower() == _SUFFIX


def _reason(image: Path, namesakes: Sequence[Path], pngs: Sequence[Path], folder: Path) -> str:
    """Return why an image has no label, or no unambiguous one."""
    if pngs:
        names = ", ".join(path.name for path in pngs)
        return f"{image}: several labels could be its label, or other images share it: {names} in {folder}."
    others = ", ".join(path.name for path in namesakes)
    instead = f"; {others} is not a PNG, and other formats may change indices" if others else ""
    return f"{image}: no label {image.stem}{_SUFFIX} in {folder}{instead}."


def _load(
    image: Path, label: Path, classes: Classes, drawn_on: str | None, names: frozenset[str] | None, notes: list[str]
) -> LabelledImage:
    photo = read_photo(image)
    indices = read_indices(label)
    if photo.is_turned((indices.shape[1], indices.shape[0]), drawn_on, str(label)):
        indices = turned(indices, photo.orientation)
    if photo.doubtful and drawn_on is None:
        notes.append(photo.doubt())
    present = set(np.unique(indices).tolist())
    unknown = sorted(present - classes.by_index.keys() - classes.ignored)
    if unknown:
        black_and_white = " Is it a black-and-white mask? Write 1 for white." if present == {0, 255} else ""
        raise InputError(
            f"{label}: holds index {unknown[0]}, which has no class (0 to {max(classes.by_index)}). Name it in the "
            f"class file, or write 'ignore: {unknown[0]}' there.{black_and_white}"
        )
    masks = {
        name: indices == index
        for index, name in classes.by_index.items()
        if index in present and (names is None or name in names)
    }
    return LabelledImage(image, masks, ~np.isin(indices, list(classes.ignored)))
