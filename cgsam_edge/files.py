"""Writing a file so that nobody ever sees half of it."""

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
"""In the names of partial files: on a shared disk, another machine's process of the same number may be alive."""

_LONGEST_NAME = 143
"""Bytes of a partial file's name. The usual limit is 255; encrypted folders have this one."""

_PARTIAL = re.compile(rf"\..+\.partial-{_MACHINE}-(\d+)(?:\.\w+)?")


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give a path beside ``path``, of the same suffix, and rename what was written there when the block ends well.

    Whatever ends the block otherwise, an interrupt too, removes it and leaves ``path`` as it was.

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
    """Let ``save`` write a file beside ``path``, then rename it to ``path``.

    Raises:
        OutputError: it cannot be written.
    """
    with beside(path) as partial:
        save(partial)


def is_full(error: BaseException) -> bool:
    """Whether an `OutputError` means that nothing can be written there any more."""
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
    """Return a hidden name with the suffix of ``name``, and ``name`` in it, or its hash where that is too long."""
    suffix = Path(name).suffix
    end = f".partial-{_MACHINE}-{os.getpid()}{suffix if _is_utf8(suffix) else ''}"
    made = f".{name}{end}"
    if len(os.fsencode(made)) <= _LONGEST_NAME and _is_utf8(made):  # OpenCV cannot write to other names
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
    """Remove what processes that died left half-written in a folder, once for each process and folder."""
    with suppress(OSError):
        for path in folder.iterdir():
            found = _PARTIAL.fullmatch(path.name)
            if found and not _is_alive(int(found.group(1))):
                path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    """Whether a process of this machine runs; on Windows, where asking would end it, all count as alive."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
