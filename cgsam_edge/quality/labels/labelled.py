"""Labelled images, and sets of them that are read one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.agreement import holds, spread_evenly
from cgsam_edge.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image and its labels.

    Attributes:
        path: the image.
        masks: bool (H, W) by concept, upright as the image is shown; concepts not listed are not in the image.
        valid: bool (H, W), False for ignored pixels; None if all count.
        classes: that its labels can show, whether they do or not; empty without labels.
    """

    path: Path
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    valid: NDArray[np.bool_] | None = None
    classes: frozenset[str] = frozenset()

    def shows_absent(self, concept: str) -> bool:
        """Return whether the labels say that the picture does not hold a concept: no pixel of it, or too few to count.

        A picture in which nothing at all is labelled says nothing: it may be one that nobody has labelled yet.
        """
        labelled = any(mask.any() for mask in self.masks.values())
        return labelled and concept in self.classes and not holds(self.masks.get(concept), self.valid)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse masks whose shape (H, W) differs from that of the image.

        Raises:
            InputError: a mask has another shape.
        """
        for mask in (*self.masks.values(), *([] if self.valid is None else [self.valid])):
            if mask.shape != shape:
                height, width = mask.shape
                raise InputError(
                    f"{self.path}: a label of {width}x{height} pixels; the image has {shape[1]}x{shape[0]}."
                )


@dataclass
class Remarks:
    """Remarks for the user about the files that were read.

    Attributes:
        left_out: entries that were not used, each with the reason.
        notes: entries that are ambiguous.
    """

    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class LabelEntry:
    """An image whose labels are read later.

    Attributes:
        path: the image.
        load: reads the labels; takes the requested names, or None for all, and a list to which it adds notes.
    """

    path: Path
    load: Callable[[frozenset[str] | None, list[str]], LabelledImage]


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of many images.

    Attributes:
        names: the classes, each once.
        entries: images with labels.
        left_out: entries that cannot be used, each with the reason.
        notes: entries that are ambiguous.
    """

    names: tuple[str, ...]
    entries: tuple[LabelEntry, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def take(self, count: int) -> Labels:
        """Return at most ``count`` images, spread evenly."""
        return replace(self, entries=spread_evenly(self.entries, count))

    def read(self, remarks: Remarks | None = None, names: frozenset[str] | None = None) -> Iterator[LabelledImage]:
        """Yield one image after the other.

        Args:
            remarks: receives the entries that are left out, and notes; without it, the first unusable entry raises.
            names: the requested classes; None means all.

        Raises:
            InputError: without ``remarks``, an image or its label cannot be used.
        """
        notes: list[str] = []
        if remarks is not None:
            remarks.left_out += self.left_out
            remarks.notes += self.notes
            notes = remarks.notes
        elif self.left_out:
            raise InputError(self.left_out[0])
        for entry in self.entries:
            try:
                image = entry.load(names, notes)
            except InputError as error:
                if remarks is None:
                    raise
                remarks.left_out.append(str(error))
                continue
            yield replace(image, classes=frozenset(self.names if names is None else names.intersection(self.names)))
