"""Graphs as they were converted, kept while they are quantised, perhaps more than once."""

from __future__ import annotations

import shutil
from pathlib import Path

from cgsam_edge.manifest import GraphSpec


class Originals:
    """Keeps the files of graphs before they are quantised.

    Args:
        folder: where to; it is made when the first comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._specs: dict[tuple[str, str], GraphSpec] = {}

    def restore(self, bundle: Path, target: str, graph: str, spec: GraphSpec) -> GraphSpec:
        """Put a graph's files back to what they were before they were quantised; the first time, keep them."""
        here, kept = (bundle / spec.path).parent, self._folder / target
        if (target, graph) not in self._specs:
            self._specs[target, graph] = spec
            kept.mkdir(parents=True, exist_ok=True)
            _copy(here, kept, graph)
        else:
            _copy(kept, here, graph)
        return self._specs[target, graph]


def _copy(source: Path, destination: Path, graph: str) -> None:
    """Copy a graph's files, or its package."""
    for path in source.glob(f"{graph}.*"):
        if path.is_dir():
            shutil.rmtree(destination / path.name, ignore_errors=True)
            shutil.copytree(path, destination / path.name)
        else:
            shutil.copy2(path, destination / path.name)
