"""Label PNGs: the class indices as the file stores them, whatever its depth and colour type."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge.errors import InputError
from cgsam_edge.image import exif_orientation
from cgsam_edge.quality.labels.frame import turned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Indices = NDArray[np.generic]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR, _PALETTE, _GREY_ALPHA, _COLOUR_ALPHA = 0, 2, 3, 4, 6
_OPAQUE = 255
_SPREAD = {2: 85, 4: 17}
"""Factor by which Pillow multiplies grey of 2 and 4 bits, to fill 8."""

_EXPECTED = "expected a PNG of class indices: grey or palette"


def read_indices(path: Path) -> Indices:
    """Return the indices (H, W) that a PNG stores, rotated by its EXIF orientation if it has one.

    Grey of 1, 2, 4, 8 and 16 bits and palettes of 1 to 8 bits give the stored number. Colour is accepted if red, green
    and blue are equal everywhere, with 8 bits each: grey that a tool wrote as colour. Alpha must be opaque.

    Raises:
        InputError: it is not a readable PNG, or its pixels are colours.
    """
    depth, colour = _header(path)
    try:
        with Image.open(path, formats=("PNG",)) as image:
            count, lies = getattr(image, "n_frames", 1), exif_orientation(image)
            pixels = np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable image ({error}).") from error
    if count > 1:
        raise InputError(f"{path}: holds {count} pictures; {_EXPECTED}, one a file.")
    return turned(_stored(pixels, depth, colour, path), lies)


def holds_indices(path: Path) -> bool:
    """Return whether a file is a PNG with grey or a palette, so that it may contain indices."""
    try:
        return _header(path)[1] in (_GREY, _PALETTE)
    except InputError:
        return False


def _header(path: Path) -> tuple[int, int]:
    """Return bits per channel and colour type."""
    try:
        with path.open("rb") as file:
            start = file.read(26)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    if len(start) < 26 or not start.startswith(_SIGNATURE):
        raise InputError(f"{path}: not a readable image: {_EXPECTED}, and this is not a PNG, or it is truncated.")
    depth, colour = struct.unpack_from("2B", start, 24)
    return depth, colour


def _stored(pixels: NDArray[np.generic], depth: int, colour: int, path: Path) -> Indices:
    if colour in (_GREY, _PALETTE):
        return _grey(pixels, depth if colour == _GREY else 8)
    channels = {_COLOUR: "RGB", _GREY_ALPHA: "grey with alpha", _COLOUR_ALPHA: "RGB with alpha"}.get(colour, "?")
    if depth != 8 or pixels.ndim != 3:
        raise InputError(f"{path}: {depth}-bit {channels}; {_EXPECTED}.")
    if colour in (_GREY_ALPHA, _COLOUR_ALPHA):
        if (pixels[:, :, -1] != _OPAQUE).any():
            raise InputError(f"{path}: some pixels are transparent, so their class is unclear; {_EXPECTED}.")
        pixels = pixels[:, :, :-1]
    if (pixels != pixels[:, :, :1]).any():
        raise InputError(
            f"{path}: its pixels are colours ({channels}), not class indices; {_EXPECTED}. Convert each colour to the "
            "index of its class first."
        )
    return np.ascontiguousarray(pixels[:, :, 0])


def _grey(pixels: NDArray[np.generic], depth: int) -> Indices:
    values = pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels
    if depth in _SPREAD and values.size and int(values.max()) >= 1 << depth:
        return np.asarray(values // np.uint8(_SPREAD[depth]))
    return values
