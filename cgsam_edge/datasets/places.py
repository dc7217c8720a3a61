"""Where a data set's files lie, and how pictures get there."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import IO

from cgsam_edge.datasets.picture import ImageSource, LabelledPicture
from cgsam_edge.errors import ImageError
from cgsam_edge.files import make_folder, write_beside

DEFAULT_SPLIT = "default"
"""Name of the only part of a data set that has no splits, as CVAT and Datumaro have it."""


def place_image(picture: LabelledPicture, target: Path, images: ImageSource) -> bool:
    """Copy a picture to its place in a data set, unless it lies there; return whether it is there.

    Raises:
        ImageError: it cannot be read.
        OutputError: it cannot be written.
    """
    source = images(picture.name)
    if source is None:
        return False
    make_folder(target.parent)
    if isinstance(source, bytes):
        write_beside(target, lambda path: path.write_bytes(source))
    elif not (target.exists() and target.samefile(source)):
        with _opened(source) as file:
            write_beside(target, lambda path: _copy(file, path))
    return True


def _opened(source: Path) -> IO[bytes]:
    try:
        return source.open("rb")
    except OSError as error:
        raise ImageError(
            f"{source}: cannot be read ({error.strerror}); it was to be copied into the data set."
        ) from error


def _copy(file: IO[bytes], path: Path) -> None:
    with path.open("wb") as copied:
        shutil.copyfileobj(file, copied)


class UniqueStems:
    """Names for files that formats tell apart by their stem alone, where pictures may be ``a.jpg`` and ``a.png``.

    The second picture of a stem becomes ``a-png``. Only a number for each picture is kept.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def of(self, picture: LabelledPicture) -> PurePosixPath:
        """Return the name without its suffix, changed if an earlier picture has it."""
        path = PurePosixPath(picture.name)
        stem, count = path.with_suffix(""), 1
        while hash(stem) in self._taken:
            ending = "" if count == 1 else f"-{count}"
            stem = path.with_name(f"{path.stem}-{path.suffix[1:]}{ending}")
            count += 1
        self._taken.add(hash(stem))
        return stem
