"""Parts of a picture, read one at a time: of one in memory, or of a file that is too big to load."""

from __future__ import annotations

from os import PathLike, fsdecode
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from cgsam_edge.errors import ImageError
from cgsam_edge.image import ImageSource, Prepared, load_image
from cgsam_edge.image_limits import ONLY_TIFF, SMALLER
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray


@runtime_checkable
class WindowReader(Protocol):
    """A picture of which parts can be read. A context manager that closes its file.

    Attributes:
        name: the file, or what else messages call the picture.
        size: width and height.
    """

    name: str
    size: tuple[int, int]

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return a part that lies inside the picture, RGB (height, width, 3).

        Raises:
            ImageError: the file is damaged there.
        """

    def overview(self) -> Image.Image:
        """Return the whole picture, RGB, scaled down where it is too big to load.

        Raises:
            ImageError: the file is damaged.
        """

    def __enter__(self) -> WindowReader:  # noqa: PYI034 — Self needs Python 3.11
        """Return the picture."""

    def __exit__(self, *error: object) -> None:
        """Close the file."""


class PictureWindows:
    """Parts of an RGB picture in memory."""

    def __init__(self, image: Image.Image, name: str = "the image") -> None:
        self.name, self.size = name, image.size
        self._image = image

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return a part, RGB (height, width, 3)."""
        return np.asarray(self._image.crop((x, y, x + width, y + height)))

    def overview(self) -> Image.Image:
        """Return the picture."""
        return self._image

    def __enter__(self) -> PictureWindows:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(self, *error: object) -> None:
        pass


def open_windows(source: ImageSource, *, bits: int | None = None, page: int | None = None) -> WindowReader:
    """Open a picture to read parts of it.

    A TIFF over the limit of `load_image` is read in windows, with rasterio; it is the caller's to close. All other
    pictures are loaded.

    Args:
        source: an image as `Segmenter.segment` takes it, or `WindowReader`, which are returned.
        bits: see `load_image`; needed for a TIFF in windows with more than 8 bits per channel.
        page: see `load_image`.

    Raises:
        ImageError: the picture cannot be used.
        MissingLibraryError: rasterio is needed and not installed.
        InputError: ``bits`` or ``page`` is not a valid number.
    """
    if isinstance(source, WindowReader):
        return source
    if isinstance(source, Prepared):
        return PictureWindows(source.image)
    if isinstance(source, (str, bytes, PathLike)):
        from cgsam_edge.tiling.tiff import TiffWindows, needs_windows

        path = fsdecode(source)
        if needs_windows(path):
            return TiffWindows(path, bits=bits, page=page)
        return PictureWindows(_loaded(source, bits, page), path)
    return PictureWindows(_loaded(source, bits, page))


def _loaded(source: ImageSource, bits: int | None, page: int | None) -> Image.Image:
    """Load a picture; one that is too big is no TIFF, so the error does not recommend tiles."""
    try:
        return load_image(source, bits=bits, page=page)
    except ImageError as error:
        text = str(error)
        if not text.endswith(SMALLER):
            raise
        raise ImageError(f"{text.removesuffix(SMALLER)}{ONLY_TIFF}") from error


def tile_image(windows: WindowReader, x: int, y: int, side: int) -> Image.Image:
    """Return a tile as an RGB picture; beyond the right and lower edge, the picture is mirrored."""
    width, height = min(side, windows.size[0] - x), min(side, windows.size[1] - y)
    part: Any = windows.read(x, y, width, height)
    while part.shape[:2] != (side, side):  # a mirror image is at most as long as what it mirrors
        below, right = (min(side - length, max(length - 1, 1)) for length in part.shape[:2])
        with NATIVE_CALL:
            part = cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    return Image.fromarray(np.ascontiguousarray(part))
