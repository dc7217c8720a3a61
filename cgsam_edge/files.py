"""Writing a file so that nobody ever sees half of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cgsam_edge.errors import CgsamError, OutputError


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give a path beside ``path``, of the same suffix, and rename what was written there when the block ends well.

    Whatever ends the block otherwise, an interrupt too, removes it and leaves ``path`` as it was.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}{path.suffix}")
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
