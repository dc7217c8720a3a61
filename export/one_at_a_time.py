"""An engine that holds one graph at a time: each is opened when it runs, and closed after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cgsam_edge.export.mapped import release_freed
from cgsam_edge.files import folder_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays, Backend, Device, Session, SessionFacts, SessionOptions


class OneAtATime:
    """A backend for few runs of large graphs; see `cgsam_edge.runtimes.protocol.Backend`.

    A check runs each graph of a bundle once, so that this takes no more time, and much less memory.

    Args:
        engine: the backend that opens the graphs.
    """

    def __init__(self, engine: Backend) -> None:
        self._engine = engine
        self.name, self.targets, self.extras = engine.name, engine.targets, engine.extras

    def version(self) -> str | None:
        """Return the engine's version; see `Backend.version`."""
        return self._engine.version()

    def problem(self) -> str:
        """Say what is wrong with the engine; see `Backend.problem`."""
        return self._engine.problem()

    def devices(self) -> tuple[Device, ...]:
        """Return the engine's devices; see `Backend.devices`."""
        return self._engine.devices()

    def open(self, path: Path, options: SessionOptions) -> Session:
        """Note what to open; see `Backend.open`."""
        return _Unopened(self._engine, path, options)


@dataclass(frozen=True)
class _Unopened:
    """A graph that is open while it runs; see `cgsam_edge.runtimes.protocol.Session`."""

    engine: Backend
    path: Path
    options: SessionOptions

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Open the graph, compute all outputs, and close it."""
        with self._opened() as session:
            return session.run(inputs)

    def facts(self) -> SessionFacts:
        """Open the graph, and return where it runs."""
        with self._opened() as session:
            return session.facts()

    @contextmanager
    def _opened(self) -> Iterator[Session]:
        session = self.engine.open(self.path, self.options)
        try:
            yield session
        finally:
            session.close()
            release_freed(folder_bytes(self.path.parent))  # all graphs of the target

    def close(self) -> None:
        """Do nothing: the graph is closed."""
