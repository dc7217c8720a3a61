"""Writing a file so that no reader ever sees half of it."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from cgsam_edge.errors import CgsamError, OutputError

_MACHINE = hashlib.sha256(platform.node().encode("utf-8", "surrogatepass")).hexdigest()[:6]
"""Part of the names of partial files: on a shared disk, another machine may run a process with the same number."""

_LONGEST_NAME = 143
"""Most bytes in a partial file's name. The usual limit is 255; encrypted folders have this lower one."""

_PARTIAL = re.compile(rf"\..+\.partial-{_MACHINE}-(\d+)(?:\.\w+)?")


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield a path next to ``path``, with the same suffix, and rename the file to ``path`` if the block succeeds.

    If the block fails or is interrupted, the file is removed, and ``path`` is unchanged.

    Raises:
        OutputError: it cannot be written.
    """
    _tidy(path.absolute().parent)
    partial = path.with_name(_partial_name(path.name))
    try:
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, CgsamError):
            raise
        raise OutputError(f"{path}: could not be written ({error.strerror or error}).") from error


def write_beside(path: Path, save: Callable[[Path], object]) -> None:
    """Let ``save`` write a file next to ``path``, then rename it to ``path``.

    Raises:
        OutputError: it cannot be written.
    """
    with beside(path) as partial:
        save(partial)


def check_folder(folder: Path) -> None:
    """Raise `OutputError` if a folder cannot be made because a file has its name, or that of a folder above it."""
    place = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    if os.path.lexists(place) and not place.is_dir():
        what = "a file of that name exists" if place == folder else f"{place} is a file"
        raise OutputError(f"{folder}: cannot be made, because {what}. Name a folder with --output.")


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it if they do not exist, and return it.

    Raises:
        OutputError: it cannot be made.
    """
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # a path may contain a zero byte
        raise OutputError(f"{folder}: cannot be made ({getattr(error, 'strerror', None) or error}).") from error
    return folder


def is_full(error: BaseException) -> bool:
    """Return whether an `OutputError` means that nothing more can be written there."""
    cause = error.__cause__
    full = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows has no quota
    return isinstance(cause, OSError) and cause.errno in full


def longest_name(folder: Path) -> int:
    """Return how many bytes a name in a folder may have."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows has no pathconf
        return 255


def _partial_name(name: str) -> str:
    """Return a hidden name with the suffix of ``name`` that contains ``name``, or its hash if that is too long."""
    suffix = Path(name).suffix
    end = f".partial-{_MACHINE}-{os.getpid()}{suffix if _is_utf8(suffix) else ''}"
    made = f".{name}{end}"
    if len(os.fsencode(made)) <= _LONGEST_NAME and _is_utf8(made):  # OpenCV can only write to UTF-8 names
        return made
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}{end}"


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@cache
def _tidy(folder: Path) -> None:
    """Remove partial files of dead processes from a folder, once per process and folder."""
    with suppress(OSError):
        for path in folder.iterdir():
            found = _PARTIAL.fullmatch(path.name)
            if found and not _is_alive(int(found.group(1))):
                path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    """Return whether a process of this machine is running; always True on Windows, where the check would end it."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder and in the folders inside it."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
