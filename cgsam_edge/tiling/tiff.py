"""Windows of a TIFF that is too big to load, read with rasterio."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from cgsam_edge.errors import ImageError, MissingLibraryError
from cgsam_edge.image_depth import check_bits, to_8_bits
from cgsam_edge.image_limits import MAX_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

OVERVIEW_SIDE = 4096
"""Longest side of what a picture that is read in windows is scaled down to."""

_CACHE_BYTES = 128 * 2**20
"""Most bytes of decoded blocks that GDAL keeps; otherwise it takes a twentieth of the memory."""

_BLOCK_BYTES = 256 * 2**20
"""Most bytes of a block of a file, which is decoded as a whole."""

_WIDTH, _HEIGHT, _PHOTOMETRIC, _ORIENTATION = 256, 257, 262, 274
_KINDS = {3: "H", 4: "I", 16: "Q"}
"""How whole numbers of a tag are stored, by TIFF's number of the type."""

_GREY, _RGB, _YCBCR = 1, 2, 6
"""The kinds of colours that GDAL returns as grey or RGB."""


def needs_windows(path: str) -> bool:
    """Whether a file is a TIFF with more pixels than can be loaded, from its header alone."""
    tags = tags_of(Path(path), 1)
    return tags.get(_WIDTH, 0) * tags.get(_HEIGHT, 0) > MAX_PIXELS


def tags_of(path: Path, page: int) -> dict[int, int]:
    """Return the whole numbers among a TIFF page's tags, by tag; empty for another file, or without such a page.

    Pillow refuses to open bigger files, and rasterio need not be installed.
    """
    try:
        with path.open("rb") as file:
            return _read_tags(file, page)
    except (OSError, ValueError, struct.error):  # whoever opens it will explain it
        return {}


def _read_tags(file: BinaryIO, page: int) -> dict[int, int]:
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    version = struct.unpack(order + "H", head[2:4])[0] if order else 0
    if order is None or version not in _LAYOUTS:
        return {}
    offset, count, entry = (struct.Struct(order + part) for part in _LAYOUTS[version])
    (place,) = offset.unpack_from(head, 4 if version == _CLASSIC else 8)
    for _ in range(page - 1):
        file.seek(place)
        (entries,) = count.unpack(file.read(count.size))
        file.seek(entries * entry.size, 1)
        (place,) = offset.unpack(file.read(offset.size))
    if not place:  # there are fewer pages
        return {}
    file.seek(place)
    (entries,) = count.unpack(file.read(count.size))
    found = {}
    for _ in range(min(entries, 4096)):
        tag, kind, _, value = entry.unpack(file.read(entry.size))
        if kind in _KINDS:
            (found[tag],) = struct.unpack_from(order + _KINDS[kind], value)
    return found


_CLASSIC = 42
_LAYOUTS = {_CLASSIC: ("I", "H", "HHI4s"), 43: ("Q", "Q", "HHQ8s")}
"""By version, classic or BigTIFF: an offset, the number of tags, and a tag with its type, count and value."""


class TiffWindows:
    """A TIFF whose parts are read from the file. A context manager that closes it.

    Args:
        path: the file.
        bits: bits per channel, 9 to 16, of a file with 16: values from 0 to 2**bits - 1 become 0 to 255.
        page: which picture of a file with several, counted from 1; None takes the first.

    Raises:
        ImageError: the file cannot be read, or has a kind of pixels that is not supported.
        MissingLibraryError: rasterio is not installed.
    """

    def __init__(self, path: str, *, bits: int | None = None, page: int | None = None) -> None:
        check_bits(bits)
        rasterio = _rasterio(path)
        self.name = path
        self._bits = bits
        self._tags = tags_of(Path(path), page or 1)
        self._environment = rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR")
        with self._environment, _explained(path):
            self._file: Any = _opened(path if page is None else f"GTIFF_DIR:{page}:{path}")
        self.size: tuple[int, int] = (self._file.width, self._file.height)
        try:
            self._bands = self._checked()
        except ImageError:
            self._file.close()
            raise

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return a part, RGB (height, width, 3); see `WindowReader`."""
        return self._rgb(window=((y, y + height), (x, x + width)))

    def overview(self) -> Image.Image:
        """Return the whole picture, each pixel the mean of those that it stands for, `OVERVIEW_SIDE` pixels at most."""
        from rasterio.enums import Resampling

        scale = min(1.0, OVERVIEW_SIDE / max(self.size))
        width, height = (max(1, round(side * scale)) for side in self.size)
        return Image.fromarray(self._rgb(out_shape=(len(self._bands), height, width), resampling=Resampling.average))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> TiffWindows:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _rgb(self, **which: Any) -> NDArray[np.uint8]:
        with self._environment, _explained(self.name):
            values = self._file.read(self._bands, **which).transpose(1, 2, 0)
        if values.dtype != np.uint8:
            values = to_8_bits(values, (1 << 16) - 1, self._bits, self.name)
        return np.ascontiguousarray(np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values)

    def _checked(self) -> list[int]:
        """Return the numbers of the bands that are red, green and blue, or the grey one."""
        count, kind = self._file.count, self._file.dtypes[0]
        if self._tags.get(_ORIENTATION, 1) != 1:
            raise ImageError(f"{self.name}: stored turned or mirrored; windows cannot undo it. Turn it upright first.")
        if kind not in ("uint8", "uint16") or (kind == "uint16" and self._bits is None):
            raise ImageError(
                f"{self.name}: has pixels of type {kind}; expected 8 bits, or 16 with bits= saying how many are "
                "used (--bits N). Convert it to 8 bits first."
            )
        self._check_blocks()
        colours = self._tags.get(_PHOTOMETRIC)
        if colours in (_RGB, _YCBCR) and count >= 3:
            return [1, 2, 3]
        if colours == _GREY and count <= 2:  # the second one is alpha
            return [1]
        raise ImageError(
            f"{self.name}: {count} bands with TIFF's photometric interpretation {colours}; expected RGB or one band of "
            f"grey. Make an RGB of it first: gdal_translate -b 1 -b 2 -b 3 -co PHOTOMETRIC=RGB -co TILED=YES IN OUT"
        )

    def _check_blocks(self) -> None:
        """Refuse a file of which a window cannot be read without most of the picture."""
        height, width = self._file.block_shapes[0]
        needed = height * width * self._file.count * np.dtype(self._file.dtypes[0]).itemsize
        if needed > _BLOCK_BYTES:
            raise ImageError(
                f"{self.name}: stored in blocks of {width}x{height} pixels, {needed / 1e6:.0f} MB each; the limit is "
                f"{_BLOCK_BYTES / 1e6:.0f}. Store it in tiles first: gdal_translate -co TILED=YES IN OUT"
            )


def _rasterio(path: str) -> Any:
    try:
        import rasterio
    except ImportError as error:
        raise MissingLibraryError(
            f"{path}: over {MAX_PIXELS // 10**6} megapixels; reading it in windows needs rasterio: "
            "pip install 'cgsam-edge[tiff]'"
        ) from error
    return rasterio


def _opened(name: str) -> Any:
    from rasterio import open as open_file
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture need not be a map
        return open_file(name, driver="GTiff")


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Convert what rasterio raises to an `ImageError` that begins with the file's name."""
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, OSError) as error:
        what = str(getattr(error, "__cause__", None) or error)
        raise ImageError(f"{path}: corrupt, truncated or unreadable ({what}).") from error
