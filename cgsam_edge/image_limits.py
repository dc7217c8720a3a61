"""Which sizes of images are accepted."""

from __future__ import annotations

from cgsam_edge.errors import ImageError

MAX_PIXELS = 100_000_000
MIN_SIDE = 2

SMALLER = (
    "Scale it down first, or, if it is a TIFF, segment it in tiles (`cgsam segment --tile auto`, in Python "
    'tile="auto").'
)
"""What to do about an image that is too big."""

ONLY_TIFF = (
    "Only TIFFs are read in tiles; convert it first, such as with gdal_translate -co TILED=YES, or scale it down."
)
"""What to do about an image that is too big, and not a TIFF, where tiles were asked for."""


def check_size(width: int, height: int, name: str) -> None:
    """Raise `ImageError` if an image is too small or too big; ``name`` begins the message."""
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{name}: {width}x{height} pixels; expected at least {MIN_SIDE} on each side.")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width}x{height} is {width * height / 1e6:.2f} megapixels; the limit is {MAX_PIXELS // 10**6}. "
            f"{SMALLER}"
        )
