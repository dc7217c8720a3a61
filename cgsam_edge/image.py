"""From a caller's image to the pixels that the graph ``image`` takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike, fsdecode
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cgsam_edge.errors import ImageError, InputError
from cgsam_edge.image_depth import check_bits, to_8_bits
from cgsam_edge.image_files import exif_orientation, from_file, from_pillow, opened
from cgsam_edge.image_limits import MAX_PIXELS, MIN_SIDE, check_size
from cgsam_edge.image_resize import array_in_bands, band_count, squash

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MAX_PIXELS",
    "MIN_SIDE",
    "ImageSource",
    "Prepared",
    "exif_orientation",
    "load_image",
    "load_prepared",
    "pixel_count",
    "to_pixels",
]

ImageSource = Any
"""A path, a PIL image, or an array: RGB (H, W, 3), RGBA (H, W, 4) or grey (H, W) or (H, W, 1), uint8 or deeper.

Files and PIL images are turned upright by their EXIF orientation. An array has no orientation and is used as it is, so
rotate what you read with ``numpy.asarray(PIL.Image.open(path))`` (OpenCV's ``imread`` already does, and gives BGR).
"""

_CHANNELS = (1, 3, 4)

_LONGEST_PATH = 4096
_CONTENT = (bytearray, memoryview)
_HINT = " Pass PIL.Image.open(file), or PIL.Image.open(io.BytesIO(content)) for a file's content."


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image, ready for the ``image`` graph. Made by `Segmenter.prepare`.

    Attributes:
        image: an RGB image.
        pixels: float32 (1, 3, size, size), see `to_pixels`.
    """

    image: Image.Image
    pixels: NDArray[np.float32] = field(repr=False)


def load_image(source: ImageSource, *, bits: int | None = None, page: int | None = None) -> Image.Image:
    """Return an upright RGB image with 8 bits per channel; grey is repeated, and alpha is dropped.

    Args:
        source: the image.
        bits: bits per channel, 8 to 16, of an image with more than 8: values from 0 to 2**bits - 1 become 0 to 255.
            None assumes the full range of the file or array, 0 to 65535, and refuses values so low that they look like
            10 to 14 bits; floats need this argument. It does not affect images with 8 bits per channel.
        page: which picture of a file with several, counted from 1. None takes the first, with a warning.

    Raises:
        ImageError: there is no such file, or it is not an image, or it is corrupt; a side is shorter than 2 pixels, or
            the image is over 100 megapixels; its depth is unclear or contradicts ``bits``; it has no such page; or the
            dtype or shape of an array is not one that `ImageSource` lists.
        InputError: ``bits`` or ``page`` is not a valid number.
    """
    check_bits(bits)
    _check_page(page, source)
    if isinstance(source, Image.Image):
        return from_pillow(source, bits)
    if isinstance(source, np.ndarray):
        return _from_array(source, bits)
    if isinstance(source, (str, bytes, PathLike)):
        _check_path(source)
        return from_file(fsdecode(source), bits, page)
    raise ImageError(
        "an image must be a path, a PIL image, or an array: RGB, RGBA or grey, uint8 or uint16, or float with bits=; "
        f"got {type(source).__name__}.{_HINT if isinstance(source, _CONTENT) or hasattr(source, 'read') else ''}"
    )


def load_prepared(
    source: ImageSource, size: int, threads: int = 1, *, bits: int | None = None, page: int | None = None
) -> Prepared:
    """Return an image and its pixels, as `load_image` and `to_pixels` do; of a large array each thread takes a part."""
    if isinstance(source, np.ndarray):
        check_bits(bits)
        _check_page(page, source)
        source = _rgb_array(source, bits)
        count = band_count(source.shape[1], source.shape[0], threads)
        if source.ndim == len("HWC") and count > 1:
            return Prepared(*array_in_bands(source, size, count))
    image = load_image(source, bits=bits, page=page)
    return Prepared(image, to_pixels(image, size, threads))


def pixel_count(source: ImageSource) -> int:
    """Return the number of pixels of an image, for a file from its header alone; 0 if that is not possible."""
    if isinstance(source, np.ndarray):
        return int(np.prod(source.shape[:2]))
    if isinstance(source, Image.Image):
        return source.width * source.height
    try:
        with opened(fsdecode(source)) as image:
            return image.width * image.height
    except (ImageError, TypeError):  # `load_image` will explain it
        return 0


def to_pixels(image: Image.Image, size: int, threads: int = 1) -> NDArray[np.float32]:
    """Squash an RGB image to the model's square: float32 (1, 3, size, size), 0 to 255.

    The resize is Pillow's antialiased bilinear filter, which training used; another library's filter changes the
    logits. Rows are resized first, in a separate call: from version 13 on, Pillow resizes columns first in some tall
    images, which changes values by one, and masks must not depend on its version.

    Args:
        image: RGB.
        size: side of the square.
        threads: largest number of threads; the pixels are the same with any number.
    """
    return squash(image, size, threads)


def _check_path(source: str | bytes | PathLike[Any]) -> None:
    """Refuse what is not a path: an empty one would be the current folder, and the content of a file is long."""
    path = fsdecode(source)
    if not path:
        raise ImageError("an image's path is empty.")
    if isinstance(source, bytes) and ("\0" in path or len(source) > _LONGEST_PATH):
        raise ImageError(f"an image as bytes must be a path, got {len(source)} bytes of content.{_HINT}")


def _check_page(page: int | None, source: ImageSource) -> None:
    if page is None:
        return
    if not isinstance(page, int) or isinstance(page, bool) or page < 1:
        raise InputError(f"page must be a whole number, 1 or more, or None, got {page!r}.")
    if isinstance(source, (Image.Image, np.ndarray)):
        raise InputError("page is for files; an array or a PIL image is one picture (select another with PIL's seek).")


def _from_array(array: NDArray[Any], bits: int | None) -> Image.Image:
    image = Image.fromarray(_rgb_array(array, bits))
    return image if image.mode == "RGB" else image.convert("RGB")


def _rgb_array(array: NDArray[Any], bits: int | None) -> NDArray[np.uint8]:
    """Return an array of 8 bits, (H, W, 3) or, where it is grey, (H, W)."""
    name = "the array"
    if array.dtype.kind != "f" and array.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            f"an image array must be uint8 with values 0 to 255, uint16, or float with bits=, got {array.dtype}."
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in _CHANNELS):
        raise ImageError(f"an image array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}.")
    check_size(array.shape[1], array.shape[0], name)
    if array.ndim == 3:
        array = array[:, :, 0] if array.shape[2] == 1 else array[:, :, :3]
    if array.dtype != np.uint8:
        array = to_8_bits(array, (1 << 16) - 1 if array.dtype == np.uint16 else None, bits, name)
    return np.ascontiguousarray(array)
