"""From a caller's image to the pixels that the ``image`` graph takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from cgsam_edge.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ImageSource = Any
"""A path, a PIL image, or a uint8 array: RGB (H, W, 3), RGBA (H, W, 4), grey (H, W) or (H, W, 1)."""

MAX_PIXELS = 100_000_000
MIN_SIDE = 2

_ORIENTATION_TAG = 0x0112
_TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image upright, by its EXIF orientation; `PIL.ImageOps` fails where other tags are malformed."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image, ready for the ``image`` graph. Made by `Segmenter.prepare`.

    Attributes:
        image: RGB.
        pixels: float32 (1, 3, size, size), see `to_pixels`.
    """

    image: Image.Image
    pixels: NDArray[np.float32] = field(repr=False)


def load_image(source: ImageSource) -> Image.Image:
    """Return an RGB image; a file's EXIF orientation is applied, grey is repeated, alpha dropped.

    Raises:
        ImageError: there is no such file, it is no image or corrupt; an image is under 2 pixels on a side, over 100
            megapixels, or has more than 8 bits a channel; an array has another dtype or shape than `ImageSource` says.
    """
    if isinstance(source, Image.Image):
        return _to_rgb(source, "the image")
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, (str, PathLike)):
        return _from_file(fspath(source))
    raise ImageError(f"an image must be a path, a PIL image or a uint8 RGB array, got {type(source).__name__}.")


def exif_orientation(image: Image.Image) -> int:
    """Return an image's EXIF orientation, 1 to 8; 1 where there is none, or none that can be read."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Pillow's parser fails in many ways on malformed EXIF, which is no reason to lose the photo
        return 1
    return value if value in _TURNS else 1


def turned_upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF orientation says, as viewers show it."""
    turn = _TURNS[exif_orientation(image)]
    return image if turn is None else image.transpose(turn)


def to_pixels(image: Image.Image, size: int) -> NDArray[np.float32]:
    """Squash an RGB image to the model's square: float32 (1, 3, size, size), 0 to 255.

    The resize is Pillow's antialiased bilinear filter, which training used; another library's moves the logits.
    """
    squashed = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)
    return np.ascontiguousarray(squashed.transpose(2, 0, 1))[None]


def _from_file(path: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            _check_size(image.width, image.height, path)
            image.load()
            return _to_rgb(turned_upright(image), path)
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: over {MAX_PIXELS // 10**6} megapixels. Scale it down first.") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image that Pillow can read, or empty.") from error
    except ImageError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"{path}: corrupt or unreadable ({error}).") from error


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8:
        hint = " Scale 16-bit values by 1/257 first." if array.dtype == np.uint16 else ""
        hint = " If its values run from 0 to 1, multiply by 255 and round." if array.dtype.kind == "f" else hint
        raise ImageError(
            f"an image array must be uint8 with values 0 to 255, got {array.dtype}: guessing its range "
            f"would change the masks.{hint}"
        )
    channels = {1: "L", 3: "RGB", 4: "RGBA"}
    grey_dims, colour_dims = 2, 3
    if array.ndim == colour_dims and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == grey_dims:
        _check_size(array.shape[1], array.shape[0], "the array")
        return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")
    if array.ndim != colour_dims or array.shape[2] not in channels:
        raise ImageError(f"an image array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}.")
    _check_size(array.shape[1], array.shape[0], "the array")
    return Image.fromarray(np.ascontiguousarray(array[:, :, :3]))


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    _check_size(image.width, image.height, name)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        raise ImageError(
            f"{name}: has more than 8 bits a channel (Pillow mode {image.mode}); guessing its range would change the "
            "masks. Convert it to 8 bits first."
        )
    try:
        return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{name}: corrupt or truncated ({error}).") from error


def _check_size(width: int, height: int, name: str) -> None:
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{name}: {width}x{height} pixels; expected at least {MIN_SIDE} on each side.")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width}x{height} is {width * height / 1e6:.0f} megapixels; the limit is {MAX_PIXELS // 10**6}. "
            "Scale it down first."
        )
