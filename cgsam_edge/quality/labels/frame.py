"""Upright or as stored: the orientation in which a photo's labels were drawn.

A camera may store a photo on its side and record that in its EXIF data. Photos are segmented upright, as viewers show
them, and labels are read as drawn on the upright photo unless the caller states that they fit the stored pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge.errors import InputError
from cgsam_edge.image import exif_orientation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Size = tuple[int, int]

_SIDEWAYS = 5
"""Orientations from this one on swap width and height."""


@dataclass(frozen=True)
class Photo:
    """A photo's size and orientation.

    Attributes:
        path: its file.
        stored: width and height as stored.
        orientation: EXIF orientation, 1 to 8; 1 if it is missing or unreadable.
    """

    path: Path
    stored: Size
    orientation: int = 1

    @property
    def upright(self) -> Size:
        """Width and height as viewers show it."""
        return self.stored if self.orientation < _SIDEWAYS else (self.stored[1], self.stored[0])

    @property
    def doubtful(self) -> bool:
        """Whether the photo is rotated, and a label's size cannot reveal the orientation of the label."""
        return self.orientation != 1 and self.stored == self.upright

    def doubt(self) -> str:
        """Return a line about how the labels of a doubtful photo were read."""
        return (
            f"{self.path}: EXIF orientation {self.orientation} does not change its size; its labels were read as drawn "
            "on the upright photo (if they were drawn on the pixels as stored: --labels-orientation stored)."
        )

    def is_turned(self, size: Size, drawn_on: str | None, label: str, hint: str = "") -> bool:
        """Return whether a label has to be rotated with the photo.

        Args:
            size: width and height of the label.
            drawn_on: one of `ORIENTATIONS`; None means upright, and refuses labels that only fit the stored pixels.
            label: name of the label, for messages.
            hint: additional advice for a label that fits the photo as stored.

        Raises:
            InputError: it fits the photo in neither orientation, or in the other one.
        """
        expected, other = (self.stored, self.upright) if drawn_on == "stored" else (self.upright, self.stored)
        if size == expected:
            return drawn_on == "stored" and self.orientation != 1
        if size == other:
            raise InputError(f"{label}: {_shape(size)} pixels, {self._lying(drawn_on)} {hint}".strip())
        raise InputError(
            f"{label}: {_shape(size)} pixels; its image {self.path.name} has {_shape(self.upright)}. Labels must have "
            "the size of their image."
        )

    def _lying(self, drawn_on: str | None) -> str:
        if drawn_on == "stored":
            return (
                f"the size of {self.path.name} upright; with --labels-orientation stored, {_shape(self.stored)} are "
                "expected. Leave the option out."
            )
        return (
            f"the size of {self.path.name} as stored; EXIF orientation {self.orientation} turns it to "
            f"{_shape(self.upright)}, and labels are read as drawn on the upright photo. Rotate them with "
            "--labels-orientation stored, or remove the EXIF orientation from the photo."
        )


def _shape(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def read_photo(path: Path) -> Photo:
    """Read the size and orientation from a photo's header.

    Raises:
        InputError: there is no such file, or it is not an image.
    """
    try:
        with Image.open(path) as image:
            return Photo(path, (image.width, image.height), exif_orientation(image))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable image ({error}).") from error


def turned(mask: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Rotate a mask (H, W) of the stored pixels by the EXIF orientation, so that it fits the upright photo."""
    if orientation >= _SIDEWAYS:
        mask = mask.T
    across = orientation in (2, 3, 6, 7)
    down = orientation in (3, 4, 7, 8)
    return np.ascontiguousarray(mask[:: -1 if down else 1, :: -1 if across else 1])
