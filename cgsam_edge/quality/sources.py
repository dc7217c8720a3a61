"""The pictures that two bundles are compared on: a folder, with labels or without, or rendered street scenes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cgsam_edge.agreement import spread_evenly
from cgsam_edge.errors import InputError
from cgsam_edge.quality.defaults import COMPARED_PICTURES
from cgsam_edge.quality.labels import LabelEntry, LabelledImage, Labels, image_files, open_labels
from cgsam_edge.quality.photos import GATE_SERIES
from cgsam_edge.quality.scenes.__main__ import write_scenes
from cgsam_edge.wording import amount
from cgsam_edge.written_files import is_marked_png

RENDERED_SIDE = 512

RENDERED_NOTE = "The pictures are rendered street scenes: your own photos would say more about your use (--images)."


@dataclass(frozen=True)
class PictureSource:
    """Where the pictures come from.

    Attributes:
        images: a folder, or one image; None renders street scenes with labels.
        labels: a folder of index PNGs, or a COCO JSON file, of these images.
        classes: the class file of index PNGs.
        orientation: how photos with an EXIF rotation were labelled, see `open_labels`.
        count: largest number of pictures, spread evenly over all.

    Raises:
        InputError: the options contradict each other.
    """

    images: Path | None = None
    labels: Path | None = None
    classes: Path | None = None
    orientation: str | None = None
    count: int = COMPARED_PICTURES

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"--count must be 1 or more, got {self.count}.")
        if self.images is None and (self.labels or self.classes):
            raise InputError("--labels and --classes need --images: the folder of the images that are labelled.")
        for option, value in (("--classes", self.classes), ("--labels-orientation", self.orientation)):
            if value and not self.labels:
                raise InputError(f"{option} needs --labels: the labels of these images.")

    @property
    def note(self) -> str:
        """A warning about the pictures; empty for the user's pictures."""
        return RENDERED_NOTE if self.images is None else ""

    def named(self, used: int) -> str:
        """Return a line about the pictures; ``used`` is the number of usable ones."""
        if self.images is None:
            return f"{used} rendered street scenes with labels, series {GATE_SERIES}."
        return f"{amount(used, 'picture')}{' with labels' if self.labels else ''} of {self.images.resolve().name}."

    def shortened(self, message: str) -> str:
        """Return a message with file names instead of paths."""
        for folder in (self.images, self.labels):
            if folder is not None:
                message = message.replace(f"{folder}/", "").replace(f"{folder}\\", "")
        return message

    @contextmanager
    def open(self) -> Iterator[Labels]:
        """Yield the pictures, whose labels are read later; rendered ones exist until the context ends.

        Raises:
            InputError: the folder holds no image, or the labels cannot be used.
        """
        if self.images is None:
            with tempfile.TemporaryDirectory(prefix="cgsam-") as folder:
                write_scenes(Path(folder), GATE_SERIES, range(self.count), RENDERED_SIDE, RENDERED_SIDE)
                yield open_labels(Path(folder, "images"), Path(folder, "labels"), Path(folder, "classes.txt"))
        elif self.labels is not None:
            yield open_labels(self.images, self.labels, self.classes, self.orientation).take(self.count)
        else:
            files = [self.images] if self.images.is_file() else image_files(self.images)
            drawn = [] if self.images.is_file() else list(filter(is_marked_png, files))
            shown = spread_evenly([file for file in files if file not in drawn], self.count)
            left_out = tuple(f"{file}: cgsam drew it, from another picture." for file in drawn)
            yield Labels((), tuple(map(_unlabelled, shown)), left_out)


def _unlabelled(path: Path) -> LabelEntry:
    return LabelEntry(path, lambda _names, _notes: LabelledImage(path))
