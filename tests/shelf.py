"""What is slow to make, made once a run and shared by the run's processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


class Shelf:
    """A folder of files and folders; whoever asks first makes one, and others wait and take it.

    What stands on it is to be read, never changed: a test that spoils something takes a copy.

    Args:
        folder: shared by all processes of a run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str, make: Callable[[Path], object]) -> Path:
        """Return the path of a thing, made at a path of that name if it is not there yet."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            done = path.with_name(f"{path.name}.done")
            if not done.exists():
                shutil.rmtree(path, ignore_errors=True)  # what a maker left that failed
                path.unlink(missing_ok=True)
                make(path)
                done.touch()
        return path


def of_the_run(factory: pytest.TempPathFactory) -> Shelf:
    """Return the shelf of a run, from whichever of its processes: pytest-xdist's keep their folders side by side."""
    own = factory.getbasetemp()
    return Shelf((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shelf")
