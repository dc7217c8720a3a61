"""Finding images in folders, by the names that people and tools give them."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from cgsam_edge.errors import InputError
from cgsam_edge.written_files import was_drawn

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder in order of names, without hidden files and what commands drew.

    Raises:
        InputError: there is no such folder, or it holds no image.
    """
    found = image_files_or_none(folder)
    if not found:
        raise InputError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)}).")
    return found


def image_files_or_none(folder: Path) -> list[Path]:
    """Return the result of `image_files`, or an empty list if there is no image.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder.")
    return sorted(path for path in folder.iterdir() if _is_image(path.name) and not was_drawn(path))


def _is_image(name: str) -> bool:
    lower = name.lower()
    return lower.endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def same_form(name: str) -> str:
    """Return a name in the form in which names are compared; some systems store an accent as a separate character."""
    return unicodedata.normalize("NFC", name)


def printable(path: Path | str) -> str:
    r"""Return a path as text that can be printed anywhere: bytes that are not UTF-8 become ``\xe9``."""
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class ImageFolder:
    """A folder and its sub-folders, in which images are found by the names in a COCO file."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder.")
        self.folder = folder

    def find(self, name: str) -> Path:
        """Return the file that a COCO file calls ``name``.

        The folders in the name and those on the disk may lack each other's beginning. Backslashes, URLs, percent
        encoding, accents in another form and another case are accepted, as long as the match is unique.

        Raises:
            InputError: there is none, or there are several.
        """
        for parts in _readings(name):
            direct = self.folder.joinpath(*parts)
            if direct.is_file():
                return direct
        for parts in _readings(name):
            for key in (same_form, _loosely):
                found = list(self._matching([key(part) for part in parts], key))
                if len(found) == 1:
                    return found[0]
                if found:
                    names = ", ".join(path.relative_to(self.folder).as_posix() for path in found[:3])
                    raise InputError(f"{name!r} could be {names} in {self.folder}. Name its folder in 'file_name'.")
        raise InputError(f"no image {name!r} in {self.folder}.")

    @staticmethod
    def agrees(name: str, path: Path) -> bool:
        """Whether all folders in a COCO file's name match those of the file."""
        whole = [_loosely(part) for part in path.resolve().parts]
        return any([_loosely(part) for part in reading] == whole[-len(reading) :] for reading in _readings(name))

    def _matching(self, parts: list[str], key: Callable[[str], str]) -> Iterator[Path]:
        """Yield files whose path below the folder ends with the name, or the reverse."""
        for path in self._by_name[_loosely(parts[-1])]:
            own = [key(part) for part in path.relative_to(self.folder).parts]
            shared = min(len(own), len(parts))
            if own[-shared:] == parts[-shared:]:
                yield path

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = defaultdict(list)
        for folder, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith("."):
                    found[_loosely(name)].append(Path(folder, name))
        return found


def _loosely(name: str) -> str:
    return same_form(same_form(name).casefold())


def _readings(name: str) -> Iterable[list[str]]:
    """Yield the possible readings of a COCO file name as the parts of a path, the likeliest first."""
    texts = [name, name.replace("\\", "/")]
    if "://" in name or name.startswith("/data/local-files/"):
        address = urlsplit(name)
        texts = [*parse_qs(address.query).get("d", []), address.path, unquote(address.path)]
    elif "%" in name:
        texts.append(unquote(name))
    for text in texts:
        parts = [part for part in PurePosixPath(text).parts if part not in ("/", ".", "..")]
        if parts and ":" in parts[0] and len(parts) > 1:  # C:\photos
            parts = parts[1:]
        if parts and "\0" not in text:
            yield parts
