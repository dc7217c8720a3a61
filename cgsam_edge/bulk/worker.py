"""What labels: one open `Segmenter`, and rows of pictures in, rows of labels out."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge._version import __version__
from cgsam_edge.bulk import parquet, urls
from cgsam_edge.bulk.recipe import Recipe
from cgsam_edge.bulk.rows import LabelRow, compact
from cgsam_edge.datasets import LabelledPicture, labelled
from cgsam_edge.errors import CgsamError, ImageError, InputError, MissingLibraryError, printable
from cgsam_edge.image_files import explained, from_bytes
from cgsam_edge.runtimes import cache
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.tiling.tiff import needs_windows

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from cgsam_edge.image import ImageSource
    from cgsam_edge.results import Result

_DIGITS = 6
_PICTURES = ("image", "bytes", "img", "picture", "jpg", "png", "content")
"""Keys of a row that may hold the picture itself, in the order in which they are looked for."""


class Labeller:
    """One open engine that labels one picture after another.

    The engine that "auto" means is measured by the first labeller of a machine; those that open at the same time wait
    for it, and take the remembered choice.

    Args:
        recipe: how pictures are labelled; checked.

    Raises:
        CgsamError: the bundle or the engine cannot be opened.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        with _one_at_a_time():
            self._segmenter = Segmenter(recipe.bundle, **recipe.engine())
        self._maker = compact(_maker(self._segmenter, recipe))
        self._warned: set[str] = set()

    def label(self, row: Mapping[str, Any]) -> LabelRow:
        """Label the picture of a row; whatever is wrong with the picture is in the result's ``error``.

        Args:
            row: ``name`` (else ``path`` names it), and the picture: as ``image``, ``bytes`` or another usual column,
                holding the bytes of a file, an array, or Hugging Face's ``{"bytes": …, "path": …}``; or the file's
                ``path`` or ``place``, a path or URL, with the ``row`` if it is a Parquet file.

        Raises:
            BackendError: the engine failed.
            MissingLibraryError: a library of an extra is needed, but for that of big TIFFs.
        """
        name = _name_of(row)
        stamp = str(row.get("stamp", ""))
        try:
            LabelledPicture(name, 1, 1)  # refuses a name before any work
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", UserWarning)
                result = self._segmented(_opened(row, name, tiled=self._recipe.tile is not None))
                picture = labelled(name, result, min_area=self._recipe.min_area)
                found = LabelRow(name, stamp, picture.to_json(), compact(_presences(result)), self._maker)
                outlines = picture.outlines_json() if self._recipe.outlines else ""
        except InputError as error:
            return LabelRow(name, stamp, error=str(error) or type(error).__name__, maker=self._maker)
        except CgsamError:
            raise
        except Exception as error:  # whatever it is, it concerns this picture alone
            return LabelRow(name, stamp, error=printable(_internal(error, name)), maker=self._maker)
        return replace(found, note=self._note(name, caught), outlines=outlines)

    def _segmented(self, image: ImageSource) -> Result:
        one = self._recipe
        try:
            return self._segmenter.segment(image, one.concepts or None, tile=one.tile, overlap=one.overlap)
        except MissingLibraryError as error:  # what reads big TIFFs; other pictures do not need it
            raise ImageError(str(error)) from error

    def close(self) -> None:
        """Free the engine."""
        self._segmenter.close()

    def _note(self, name: str, caught: list[warnings.WarningMessage]) -> str:
        """Return what was noticed about a picture; what holds for all pictures is said once."""
        lines = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
        new = [line for line in dict.fromkeys(lines) if name in line or line not in self._warned]
        self._warned.update(lines)
        return printable("\n".join(new))


def _internal(error: Exception, name: str) -> str:
    if isinstance(error, MemoryError):
        return f"{name}: not enough memory to label it."
    return f"{name}: internal error: {type(error).__name__}: {error}"


def _maker(segmenter: Segmenter, recipe: Recipe) -> dict[str, Any]:
    placement = segmenter.placement
    return {
        **recipe.identity(),
        "cgsam_edge": __version__,
        "backend": placement.backend,
        "engine_version": placement.version,
        "target": placement.target,
        "device": placement.device,
        "precision": placement.precision,
        "threads": placement.threads,
    }


def _presences(result: Result) -> dict[str, float]:
    return {one.name: round(one.presence, _DIGITS) for one in result.values()}


def _name_of(row: Mapping[str, Any]) -> str:
    name = row.get("name") or row.get("path")
    if name is None:
        name = next((row[key].get("path") for key in _PICTURES if isinstance(row.get(key), Mapping)), None)
    if not name:
        raise InputError(f"a row needs 'name' or 'path', by which its label is known; it has {', '.join(row)}.")
    text = str(name)
    inner = text.partition("://")[2] if "://" in text else text
    return "/".join(part for part in inner.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _opened(row: Mapping[str, Any], name: str, *, tiled: bool) -> ImageSource:
    """Return a row's picture as `Segmenter.segment` takes it.

    Files are always decoded from their bytes, but for those that are too big for it and are read in windows.
    """
    held: Any = next((row[key] for key in _PICTURES if row.get(key) is not None), None)
    if isinstance(held, Mapping):
        held = held.get("bytes")
    if isinstance(held, np.ndarray):
        return held
    place = str(row.get("place") or row.get("path"))
    if tiled and held is None and _row(row) < 0 and "://" not in place and needs_windows(place):
        return place
    content = held if isinstance(held, bytes) else read_bytes(place, _row(row))
    return np.asarray(from_bytes(content, name))  # an array has no orientation, so it is not turned twice


def _row(row: Mapping[str, Any]) -> int:
    return int(row.get("row", -1))


def read_bytes(place: str, row: int = -1) -> bytes:
    """Return the bytes of a picture: of a file, a URL, or a row of a Parquet file.

    Raises:
        ImageError: it cannot be read.
    """
    if row >= 0:
        return parquet.read(place, row)
    if "://" in place:
        return urls.read(place)
    with explained(place), open(place, "rb") as file:  # noqa: PTH123 — a million paths
        return file.read()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let one process of this user and machine open an engine at a time, so that only the first one measures."""
    with ExitStack() as stack:
        folder = cache.folder("opening")
        if folder is not None and sys.platform != "win32":
            file = stack.enter_context((folder / "lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
