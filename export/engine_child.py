"""OpenVINO in a child process: where it crashes or hangs, the child ends, and the export goes on.

`EngineChild` is the parent's side, `serve` the child's. Arrays pass through files, everything else as lines of JSON.
"""

from __future__ import annotations

import math
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge._schema import decode
from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import children
from cgsam_edge.runtimes.child import Requests, Say
from cgsam_edge.runtimes.children import Child, ChildError, NoChildError
from cgsam_edge.runtimes.openvino import OpenVinoBackend
from cgsam_edge.runtimes.protocol import Session, SessionFacts, SessionOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays

MODULE = __name__
"""Whose `serve` a child runs."""

_INPUT, _OUTPUT = "in-", "out-"
"""How the names of files with arrays begin, for the graph and from it."""


class EngineChild:
    """A child that runs graphs; a context manager that ends it.

    Args:
        work: a folder for arrays; None takes one of the system's.
        patience: seconds that a run may take before the child counts as hung; never less than `STEP_LIMIT`.

    Raises:
        NoChildError: no child can be started, or there is no place for its arrays.
    """

    def __init__(self, work: Path | None = None, patience: float = 0.0) -> None:
        self._steps = max(1, math.ceil(patience / children.STEP_LIMIT))
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="arrays-", dir=work)
        except OSError as error:
            raise NoChildError(
                f"no folder for a child's arrays can be made in {work or 'the folder for temporary files'} "
                f"({error.strerror or error})."
            ) from error
        self._turn = threading.Lock()
        try:
            self._child = Child(MODULE)
        except BackendError:
            self._folder.cleanup()
            raise

    def open(self, path: Path, options: SessionOptions) -> ChildSession:
        """Open a graph in the child.

        Raises:
            BackendError: the engine cannot open it, crashed or hung.
        """
        given = asdict(options) | {"cache": None}
        with self._turn:
            answer = self._ask({"open": str(path), "options": given}, f"opening {path.name}")
        return ChildSession(self, path, decode(SessionFacts, answer["facts"], "child"))

    def run(self, path: Path, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Run a graph that is open.

        Raises:
            BackendError: the engine failed, crashed or hung, or arrays cannot be passed to it, as on a full disk.
        """
        folder = Path(self._folder.name)
        with self._turn:
            try:
                _write(folder, _INPUT, inputs)
                names = self._ask({"run": str(path), "folder": str(folder)}, f"computing {path.name}")["outputs"]
                return {name: np.load(_place(folder, _OUTPUT, name)) for name in names}
            except (OSError, ValueError) as error:  # a file that a full disk cut short has too few values
                raise BackendError(
                    f"{path.name}: arrays cannot be passed through {folder.parent} ({error}). Free some space there, "
                    "or name another folder in the environment variable TMPDIR."
                ) from error

    def _ask(self, command: dict[str, Any], step: str) -> dict[str, Any]:
        """Ask the child; one that failed is ended, so that no later question gets the answer of an earlier one."""
        try:
            return self._child.ask(command, step, self._steps)
        except ChildError:
            self._child.kill()
            raise

    def __enter__(self) -> EngineChild:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close()
        self._folder.cleanup()


class ChildSession:
    """A graph that is open in a child; see `cgsam_edge.runtimes.protocol.Session`."""

    def __init__(self, child: EngineChild, path: Path, facts: SessionFacts) -> None:
        self._child, self._path, self._facts = child, path, facts

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute all outputs; see `Session.run`."""
        return self._child.run(self._path, inputs)

    def facts(self) -> SessionFacts:
        """Return where the graph runs; see `Session.facts`."""
        return self._facts

    def close(self) -> None:
        """Do nothing: the child closes all of its graphs when it ends."""


def serve(requests: Requests, say: Say) -> None:
    """Open graphs, and run those that are open."""
    sessions: dict[str, Session] = {}
    for asked in requests:
        if "open" in asked:
            path, options = asked["open"], SessionOptions(**asked["options"])
            sessions[path] = OpenVinoBackend().open(Path(path), options)
            say({"facts": asdict(sessions[path].facts())})
        else:
            folder = Path(asked["folder"])
            made = sessions[asked["run"]].run(_read(folder, _INPUT))
            _write(folder, _OUTPUT, made)
            say({"outputs": list(made)})


def _place(folder: Path, begin: str, name: str) -> Path:
    return folder / f"{begin}{name}.npy"


def _write(folder: Path, begin: str, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    for old in folder.glob(f"{begin}*.npy"):
        old.unlink()  # graphs have different inputs
    for name, array in arrays.items():
        np.save(_place(folder, begin, name), array)


def _read(folder: Path, begin: str) -> dict[str, NDArray[np.float32]]:
    return {file.stem.removeprefix(begin): np.load(file) for file in folder.glob(f"{begin}*.npy")}
