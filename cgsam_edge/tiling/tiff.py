"""Windows of a TIFF that is too big to load, read with rasterio."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

_TAGS = {256: "width", 257: "height"}
_SIZES = {3: "H", 4: "I", 16: "Q"}
_ORIENTATION = 274


def needs_windows(path: str) -> bool:
    """Whether a file is a TIFF with more pixels than can be loaded, from its header alone."""
    try:
        tags = first_tags(Path(path))
    except (OSError, ValueError, struct.error):  # `load_image` will explain it
        return False
    return tags.get(256, 0) * tags.get(257, 0) > MAX_PIXELS


def first_tags(path: Path) -> dict[int, int]:
    """Return width, height and orientation of a TIFF's first picture by their tags; empty for another file.

    Pillow refuses to open bigger files, and rasterio need not be installed.
    """
    with path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 16:
            return {}
        version = struct.unpack(order + "H", head[2:4])[0]
        if version == 42:
            place, count, entry = struct.unpack(order + "I", head[4:8])[0], "H", "HHI4s"
        elif version == 43:
            place, count, entry = struct.unpack(order + "Q", head[8:16])[0], "Q", "HHQ8s"
        else:
            return {}
        file.seek(place)
        entries = struct.unpack(order + count, file.read(struct.calcsize(order + count)))[0]
        found = {}
        for _ in range(min(entries, 4096)):
            tag, kind, _, value = struct.unpack(order + entry, file.read(struct.calcsize(order + entry)))
            if tag in (*_TAGS, _ORIENTATION) and kind in _SIZES:
                form = order + _SIZES[kind]
                found[tag] = struct.unpack(form, value[: struct.calcsize(form)])[0]
        return found


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
        from rasterio.enums import ColorInterp

        kinds, meant = self._file.dtypes, self._file.colorinterp
        if self._turned():
            raise ImageError(
                f"{self.name}: stored turned or mirrored, which windows do not undo. Turn it upright first."
            )
        if ColorInterp.palette in meant or self._file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE"):
            raise ImageError(f"{self.name}: has a palette or inverted greys. Convert it to RGB first.")
        bands = [1, 2, 3] if self._file.count >= 3 else [1]
        colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        if all(colour in meant for colour in colours):
            bands = [meant.index(colour) + 1 for colour in colours]
        kind = kinds[bands[0] - 1]
        if kind not in ("uint8", "uint16") or (kind == "uint16" and self._bits is None):
            raise ImageError(
                f"{self.name}: has pixels of type {kind}; expected 8 bits, or 16 with bits= saying how many are "
                "used (--bits N). Convert it to 8 bits first."
            )
        return bands

    def _turned(self) -> bool:
        return first_tags(Path(self.name)).get(_ORIENTATION, 1) != 1


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
