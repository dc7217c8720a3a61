"""Files with more than 8 bits per channel, whose low bits Pillow drops for colour pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cgsam_edge.errors import ImageError
from cgsam_edge.image_depth import to_8_bits
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GREY = ("I", "F")
_COLOUR = ("RGB", "RGBA", "RGBX", "LA", "L")
_BITS_PER_SAMPLE = 258  # TIFF's tag
_16_BITS, _32_BITS = (1 << 16) - 1, (1 << 32) - 1


def is_deep(image: Image.Image) -> bool:
    """Whether an opened image has more than 8 bits per channel, unless Pillow has already cut it to 8."""
    return image.mode in _GREY or image.mode.startswith("I;16") or _maxval(image) > 255 or ";16" in _rawmode(image)


def read_deep(image: Image.Image, name: str, bits: int | None) -> NDArray[np.uint8]:
    """Return a deep image as stored, or upright if Pillow rotates it on loading: (H, W) or (H, W, 3).

    Raises:
        ImageError: the depth is unclear or contradicts ``bits``, or the layout cannot be read.
    """
    maxval = _maxval(image)
    if maxval:
        return to_8_bits(_netpbm(image, name), maxval, bits, name)
    if image.mode in _GREY or image.mode.startswith("I;16"):
        full = _full_range(image)
        image.load()
        return to_8_bits(np.asarray(image), full, bits, name)
    return to_8_bits(_colour(image, name), _16_BITS, bits, name)


def _tile(image: Image.Image) -> tuple[str, int, tuple[Any, ...]]:
    """Return the decoder, the offset and the arguments for the part of a file that is still unread."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return "", 0, ()
    codec, _, offset, arguments = tiles[0]
    return codec, offset, arguments if isinstance(arguments, tuple) else (arguments,)


def _rawmode(image: Image.Image) -> str:
    arguments = _tile(image)[2]
    return str(arguments[0]) if arguments else ""


def _maxval(image: Image.Image) -> int:
    """Return the maximum value of a PPM or PGM with more than 8 bits; 0 for other files."""
    codec, _, arguments = _tile(image)
    if codec not in ("ppm", "ppm_plain") or len(arguments) < 2 or not isinstance(arguments[1], int):
        return 0
    return arguments[1] if arguments[1] > 255 else 0


def _netpbm(image: Image.Image, name: str) -> NDArray[Any]:
    codec, offset, (mode, *_) = _tile(image)
    channels = 3 if mode == "RGB" else 1
    count, data = channels * image.width * image.height, _content(image)[offset:]
    if codec == "ppm":
        values = np.frombuffer(data[: 2 * count], ">u2").astype(np.uint16)
    else:
        lines = (line.partition(b"#")[0] for line in data.splitlines())
        values = np.array(b" ".join(lines).split()[:count], np.uint16)
    if len(values) < count:
        raise ImageError(f"{name}: truncated: holds {len(values)} of {count} values.")
    shape = (image.height, image.width, channels)
    return values.reshape(shape if channels == 3 else shape[:2])


def _full_range(image: Image.Image) -> int | None:
    """Return the maximum value that a grey image can store, or None for floats."""
    if image.mode == "F":
        return None
    stated = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE)
    if stated:
        return (1 << int(max(stated) if isinstance(stated, tuple) else stated)) - 1
    return _32_BITS if image.mode == "I" and image.format != "PNG" else _16_BITS  # older Pillow: 16-bit PNGs are I


def _colour(image: Image.Image, name: str) -> NDArray[Any]:
    """Let OpenCV read a file that Pillow would cut to 8 bits: RGB (H, W, 3) or grey (H, W), uint16, as stored."""
    page = image.tell()
    array = _decoded(_content(image), page) if image.mode in _COLOUR and (image.format == "TIFF" or not page) else None
    if array is None or array.dtype != np.uint16 or array.ndim not in (2, 3):
        raise ImageError(
            f"{name}: has 16 bits a channel in a layout ({image.format}, {_rawmode(image)}) that can only be read with "
            "8 of them. Convert it to 8 bits first."
        )
    return array if array.ndim == 2 else array[:, :, 2::-1]


def _decoded(content: bytes, page: int) -> NDArray[Any] | None:
    logging = cv2.utils.logging
    data = np.frombuffer(content, np.uint8)
    with NATIVE_CALL:
        level = logging.getLogLevel()
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # the error raised here replaces OpenCV's messages
        try:
            if not page:
                return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            pictures = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED)[1]
        except cv2.error:
            return None
        finally:
            logging.setLogLevel(level)
    return pictures[page] if page < len(pictures) else None


def _content(image: Image.Image) -> bytes:
    """Return the whole file of an opened image."""
    file: Any = getattr(image, "fp", None)
    if file is None:
        raise ImageError(f"{getattr(image, 'filename', 'the image')}: closed before it was read.")
    place = file.tell()
    try:
        file.seek(0)
        content: bytes = file.read()
        return content
    finally:
        file.seek(place)
