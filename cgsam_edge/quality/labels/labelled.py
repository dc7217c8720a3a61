"""Labelled images, and a set of them that is read one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.agreement import spread_evenly
from cgsam_edge.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image and what is in it.

    Attributes:
        path: the image.
        masks: bool (H, W) by concept, upright as the image is shown; a concept that is missing here is not in the
            image.
        valid: bool (H, W), False where pixels count for nothing; None where all count.
    """

    path: Path
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    valid: NDArray[np.bool_] | None = None

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse masks of another shape (H, W) than that of the image.

        Raises:
            InputError: there is one.
        """
        for mask in (*self.masks.values(), *([] if self.valid is None else [self.valid])):
            if mask.shape != shape:
                height, width = mask.shape
                raise InputError(
                    f"{self.path}: a label of {width}x{height} pixels; the image has {shape[1]}x{shape[0]}."
                )


@dataclass
class Remarks:
    """What a person should know about the files that were read.

    Attributes:
        left_out: what took no part, each with the reason.
        notes: what could have been meant in another way than it was read.
    """

    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class LabelEntry:
    """An image whose labels are not read yet.

    Attributes:
        path: the image.
        load: reads the labels; takes the names that are wanted, or None for all, and a list to which it adds notes.
    """

    path: Path
    load: Callable[[frozenset[str] | None, list[str]], LabelledImage]


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of many images.

    Attributes:
        names: the classes, each once.
        entries: images with labels.
        left_out: what cannot take part, each with the reason.
        notes: what could have been meant in another way than it was read.
    """

    names: tuple[str, ...]
    entries: tuple[LabelEntry, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def take(self, count: int) -> Labels:
        """Return ``count`` images at most, evenly spread over all."""
        return replace(self, entries=spread_evenly(self.entries, count))

    def read(self, remarks: Remarks | None = None, names: frozenset[str] | None = None) -> Iterator[LabelledImage]:
        """Yield one image after the other.

        Args:
            remarks: gets what is left out, and notes; without it, the first thing that cannot be used ends the reading.
            names: the classes that are wanted; None means all.

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
            yield image
