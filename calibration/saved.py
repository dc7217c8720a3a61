"""Copies of a bundle's graphs, to restore them after other versions were tried."""

from __future__ import annotations

import shutil
from pathlib import Path


class SavedGraphs:
    """Keeps copies of graphs' files.

    Args:
        folder: folder for the copies; created when the first graph is saved.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def holds(self, target: str, graph: str) -> bool:
        """Return whether a graph of a target was saved."""
        return any((self._folder / target).glob(f"{graph}.*"))

    def save(self, bundle: Path, target: str, graph: str) -> None:
        """Copy a graph's files out of a bundle, replacing an earlier copy."""
        (self._folder / target).mkdir(parents=True, exist_ok=True)
        _copy(bundle / target, self._folder / target, graph)

    def restore(self, bundle: Path, target: str, graph: str) -> None:
        """Copy a graph's saved files back into a bundle."""
        _copy(self._folder / target, bundle / target, graph)


def _copy(source: Path, destination: Path, graph: str) -> None:
    """Copy a graph's files, or its package; older files at the destination are removed."""
    for old in destination.glob(f"{graph}.*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for path in source.glob(f"{graph}.*"):
        if path.is_dir():
            shutil.copytree(path, destination / path.name)
        else:
            shutil.copy2(path, destination / path.name)
