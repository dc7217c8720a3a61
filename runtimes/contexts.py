"""Graphs compiled for an NPU ahead of time: one file for each chip beside the graph, or in the cache.

ONNX Runtime calls such a file a context: an ``.onnx`` of one node that holds what the provider compiled. Nothing but
its name says for which chip it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cgsam_edge.runtimes.protocol import SessionOptions

DEVICE = "QNN"
"""The one whose contexts this package keeps."""


@dataclass(frozen=True)
class Context:
    """What to open in place of a graph.

    Attributes:
        path: the file.
        entries: for the session's configuration.
        compiled: whether the file was compiled earlier.
        remedy: what to do where such a file does not load.
    """

    path: Path
    entries: dict[str, str] = field(default_factory=dict)
    compiled: bool = False
    remedy: str = ""


def beside(path: Path, soc: int) -> Path:
    """Return where a bundle holds a graph compiled for a chip."""
    return path.with_name(f"{path.name}.qnn-{soc}.onnx")


def of(path: Path, options: SessionOptions) -> tuple[Context, ...]:
    """Return what to open, each where those before it do not load.

    The bundle's file for the chip comes first, then the cache's, and at last the graph, to be compiled.
    """
    made = []
    if options.soc is not None and beside(path, options.soc).is_file():
        made.append(Context(beside(path, options.soc), compiled=True, remedy="Run cgsam compile again."))
    if options.cache is None:
        return (*made, Context(path))
    kept = options.cache / f"{path.name}.qnn.onnx"
    if kept.is_file():  # the provider refuses to write over it
        return (*made, Context(kept, compiled=True, remedy="Remove it."), Context(path))
    return (*made, Context(path, writing(kept)))


def writing(path: Path) -> dict[str, str]:
    """Return the session's configuration with which it writes what it compiles into one file."""
    return {"ep.context_enable": "1", "ep.context_file_path": str(path), "ep.context_embed_mode": "1"}
