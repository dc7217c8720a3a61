"""Writing a file so that nobody ever sees half of it."""

from __future__ import annotations

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

_PARTIAL = re.compile(rf"\..+\.partial-{_MACHINE}-(\d+)(?:\.\w+)?")


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give a path beside ``path``, of the same suffix, and rename what was written there when the block ends well.

    Whatever ends the block otherwise, an interrupt too, removes it and leaves ``path`` as it was.

    Raises:
        OutputError: it cannot be written.
    """
    _tidy(path.absolute().parent)
    partial = path.with_name(f".{path.name}.partial-{_MACHINE}-{os.getpid()}{path.suffix}")
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
