"""Writing a file so that nobody ever sees half of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cgsam_edge.errors import CgsamError, OutputError


def write_beside(path: Path, save: Callable[[Path], object]) -> None:
    """Let ``save`` write a file beside ``path``, then rename it to ``path``.

    Raises:
        OutputError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        try:
            save(beside)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, CgsamError):
            raise
        raise OutputError(f"{path}: could not be written ({error.strerror or error}).") from error
