"""From an uploaded file to a picture: which formats, names and sizes are taken."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from cgsam_edge.serve.refusal import Refusal

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")
"""What is decoded; other decoders of Pillow never see what comes from a network."""

LONGEST_NAME = 200
"""Bytes of a name in UTF-8; file systems take 255, and formats add to it."""

UNNAMED = "image"
_NOT_IN_NAMES = re.compile(r"[/\\:\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Upload:
    """An uploaded file.

    Attributes:
        name: its name without a folder.
        data: its bytes.
    """

    name: str
    data: bytes = field(repr=False)


def checked_name(name: str | None) -> str:
    """Return the name of an uploaded file.

    Raises:
        Refusal: 422 if it holds a path, or characters that no name has.
    """
    if not name:
        return UNNAMED
    if _NOT_IN_NAMES.search(name) or name in (".", ".."):
        raise Refusal(
            422, f"the file's name is {name[:80]!r}: expected a name without a folder or a colon, such as 'street.jpg'."
        )
    length = len(name.encode("utf-8", "replace"))
    if length > LONGEST_NAME:
        raise Refusal(422, f"the file's name has {length} bytes; the limit is {LONGEST_NAME}.")
    return name


def opened(upload: Upload, max_pixels: int) -> Picture:
    """Return a file as a PIL image that is not unpacked yet; `Segmenter.encode` does so, and turns it upright.

    Args:
        upload: the file.
        max_pixels: most pixels; a file's header alone decides.

    Raises:
        Refusal: 413 if it has too many pixels, 415 if it is not a picture of a known format, 422 if it is empty.
    """
    if not upload.data:
        raise Refusal(422, f"{upload.name}: an empty file, not a picture.")
    image = _identified(upload)
    _check_pixels(image, upload.name, max_pixels)
    image.filename = upload.name  # type: ignore[attr-defined]  # names the picture in messages
    return image


def _identified(upload: Upload) -> Picture:
    try:
        return Image.open(io.BytesIO(upload.data), formats=_known())
    except UnidentifiedImageError as error:
        raise Refusal(415, f"{upload.name}: not a picture; expected one of {', '.join(_known())}.") from error
    except Image.DecompressionBombError as error:
        raise Refusal(413, f"{upload.name}: too many pixels. Scale it down first.") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers of formats raise many kinds for damaged files
        raise Refusal(422, f"{upload.name}: corrupt or unreadable ({type(error).__name__}).") from error


def _known() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _check_pixels(image: Picture, name: str, limit: int) -> None:
    if image.width * image.height > limit:
        size = f"{image.width}x{image.height} is {image.width * image.height / 1e6:.1f} megapixels"
        raise Refusal(413, f"{name}: {size}; the limit is {limit / 1e6:g}. Scale it down first.")
