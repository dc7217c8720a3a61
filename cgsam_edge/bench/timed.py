"""An engine whose graphs record how long each run takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from cgsam_edge.runtimes.protocol import Device, SessionFacts, SessionOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays, Backend, Session


class TimedSession:
    """An opened graph that notes its times.

    Args:
        session: the session that does the work.

    Attributes:
        milliseconds: of each run since the list was last cleared.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.milliseconds: list[float] = []

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute, and record the time; see `Session.run`."""
        start = time.perf_counter()
        out = self._session.run(inputs)
        self.milliseconds.append(1000 * (time.perf_counter() - start))
        return out

    def facts(self) -> SessionFacts:
        """Return the session's; see `Session.facts`."""
        return self._session.facts()

    def close(self) -> None:
        """Close the session."""
        self._session.close()


class TimedBackend:
    """An engine that opens `TimedSession`s and otherwise behaves like the original; see `Backend`.

    Args:
        backend: the engine.
        graphs: names of the graphs by path, for `sessions`.

    Attributes:
        sessions: the opened ones, by graph.
    """

    def __init__(self, backend: Backend, graphs: dict[Path, str]) -> None:
        self._backend, self._graphs = backend, graphs
        self.sessions: dict[str, TimedSession] = {}
        self.name, self.targets, self.extras = backend.name, backend.targets, backend.extras

    def version(self) -> str | None:
        """Return the engine's; see `Backend.version`."""
        return self._backend.version()

    def problem(self) -> str:
        """Return the engine's; see `Backend.problem`."""
        return self._backend.problem()

    def devices(self) -> tuple[Device, ...]:
        """Return the engine's; see `Backend.devices`."""
        return self._backend.devices()

    def open(self, path: Path, options: SessionOptions) -> Session:
        """Open a graph; see `Backend.open`."""
        session = TimedSession(self._backend.open(path, options))
        self.sessions[self._graphs.get(path, path.stem)] = session
        return session
