"""Reading image files with Pillow: upright, the requested page, in full depth; every error names the file."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from cgsam_edge.caller_warning import warn_caller
from cgsam_edge.errors import CgsamError, ImageError
from cgsam_edge.image_limits import MAX_PIXELS, SMALLER, check_size
from cgsam_edge.url_secrets import shown_typed

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_METADATA = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
"""Entries of an image's ``info`` that Pillow takes an orientation from."""

_WITH_EXTRAS = ("MPO", "PSD")
"""Formats whose first picture is the photo, and whose others are extras: previews, depth, layers."""


def from_file(path: str, bits: int | None, page: int | None) -> Image.Image:
    """Return the upright RGB picture of a file; arguments and errors as for `cgsam_edge.image.load_image`."""
    with opened(path) as image:
        _turn_to(image, path, page)
        return _to_rgb(image, path, bits)


def from_bytes(content: bytes, name: str) -> Image.Image:
    """Return the upright RGB picture of a file's content, the first if there are several, which a warning says.

    Raises:
        ImageError: it cannot be used.
    """
    with explained(name):
        if not content:
            raise ImageError(f"{name}: an empty file (0 bytes), not an image.")
        with Image.open(io.BytesIO(content)) as image:
            check_size(image.width, image.height, name)
            _warn_of_several(image, name, "Save the others as files to have them too.")
            return _to_rgb(image, name, None)


def picture_of(image: Image.Image, path: str) -> Image.Image:
    """Return the current picture of an opened file, upright and RGB."""
    return _to_rgb(image, path, None)


def from_pillow(image: Image.Image, bits: int | None) -> Image.Image:
    """Return the current picture of a PIL image, upright and RGB; always a new image."""
    name = str(getattr(image, "filename", "") or "the image")
    with explained(name):
        check_size(image.width, image.height, name)
        rgb = _to_rgb(image, name, bits)
        return rgb.copy() if rgb is image else rgb


@contextmanager
def opened(path: str) -> Iterator[Image.Image]:
    """Open a file, and check its size.

    Raises:
        ImageError: it cannot be used; also raised for errors in the block.
    """
    with explained(path):
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{path}: a folder, not an image.")
        if not stat.S_ISREG(mode):
            raise ImageError(f"{path}: not a file, but a pipe, a socket or a device.")
        with Image.open(path) as image:
            check_size(image.width, image.height, path)
            yield image


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Convert whatever Pillow raises for damaged files to an `ImageError` that begins with ``name``."""
    try:
        yield
    except (CgsamError, Warning):  # Warning: for programs that turn warnings into errors
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{shown_typed(name)}: {_missing(name)}.") from error
    except PermissionError as error:
        raise ImageError(f"{name}: no permission to read it.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: over {MAX_PIXELS // 10**6} megapixels. {SMALLER}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: {_unidentified(name)}.") from error
    except MemoryError as error:
        raise ImageError(f"{name}: not enough memory to decode it.") from error
    except Exception as error:  # Pillow's decoders raise many kinds: struct.error, IndexError, KeyError, SyntaxError
        what = str(error) or type(error).__name__
        raise ImageError(f"{name}: corrupt, truncated or unreadable ({what}).") from error


def _missing(name: str) -> str:
    path = Path(name)
    return f"a link to {str(path.readlink())!r}, which does not exist" if path.is_symlink() else "no such file"


def _unidentified(name: str) -> str:
    path = Path(name)
    if path.is_file() and not path.stat().st_size:
        return "an empty file (0 bytes), not an image"
    if path.name.startswith("._"):
        return "not an image, but metadata that macOS stores next to one; delete it or leave it out"
    return "not an image that Pillow can read"


def _turn_to(image: Image.Image, path: str, page: int | None) -> None:
    """Go to a page; without one, warn if there are several."""
    count = getattr(image, "n_frames", 1)
    if page is not None:
        if page > count:
            held = "one picture" if count == 1 else f"{count} pictures"
            raise ImageError(f"{path}: holds {held}; there is no page {page}.")
        if page > 1:
            image.seek(page - 1)
            check_size(image.width, image.height, path)
    else:
        whole = ", or --every 1 for all as a video" if is_animation(image) else ""
        _warn_of_several(image, path, f"Name another with --page N (in Python page=N){whole}.")


def _warn_of_several(image: Image.Image, name: str, advice: str) -> None:
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format not in _WITH_EXTRAS:
        warn_caller(f"{name}: holds {count} pictures, and the first is taken. {advice}")


def is_animation(image: Image.Image) -> bool:
    """Whether the pictures of an opened file form an animation, like those of a GIF."""
    return getattr(image, "n_frames", 1) > 1 and image.format in ("GIF", "WEBP", "PNG", "AVIF")


def _to_rgb(image: Image.Image, name: str, bits: int | None) -> Image.Image:
    from cgsam_edge.image_deep_files import is_deep, read_deep  # on first use: few images are deep

    if is_deep(image):
        rgb = Image.fromarray(read_deep(image, name, bits)).convert("RGB")
    else:
        image.load()
        rgb = image if image.mode == "RGB" else image.convert("RGB")
    method = _UPRIGHT.get(_orientation(image, name))
    return rgb if method is None else _turned(rgb, method)


def _turned(image: Image.Image, method: Image.Transpose) -> Image.Image:
    """Turn an image, and drop its metadata, whose orientation would have it turned again where it is given back."""
    turned = image.transpose(method)
    for held in _METADATA:
        turned.info.pop(held, None)
    return turned


def exif_orientation(image: Image.Image) -> int:
    """Return an image's EXIF orientation, 1 to 8; 1 if it is missing or unreadable."""
    try:
        return _stored_orientation(image)
    except Exception:  # Pillow's parser fails in many ways on malformed EXIF, but the photo is still usable
        return 1


def _stored_orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _orientation(image: Image.Image, name: str) -> int:
    """Return the EXIF orientation as `exif_orientation` does, and warn if it is unreadable.

    The image must be loaded: some formats are rotated at that point.
    """
    try:
        return _stored_orientation(image)
    except Exception as error:  # see `exif_orientation`
        warn_caller(
            f"{name}: its EXIF data cannot be read ({error}), so the image is used as stored, without rotation."
        )
        return 1
