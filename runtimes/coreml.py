"""Core ML, through coremltools: on macOS alone.

Written against coremltools' documentation and never run: nobody has tried it on a Mac yet.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import BackendError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays, Session, SessionOptions

UNITS = ("ALL", "CPU_AND_NE", "CPU_AND_GPU", "CPU_ONLY")
"""Compute units as Core ML names them: what it may choose from."""

_DATA = Path("Data") / "com.apple.CoreML"


@dataclass(frozen=True)
class CoreMLBackend:
    """The backend "coreml"; see `Backend`.

    Attributes:
        units: one of `UNITS`.
    """

    units: str = "ALL"
    name: str = "coreml"
    target: str = "coreml"
    extras: tuple[str, ...] = ("coreml",)

    def __post_init__(self) -> None:
        if self.units not in UNITS:
            raise BackendError(f"no compute units {self.units!r}; expected one of {', '.join(UNITS)}.")

    def installed(self) -> bool:
        """Whether ``import coremltools`` would find it."""
        return importlib.util.find_spec("coremltools") is not None

    def problem(self) -> str:
        """Say why it cannot run here; see `Backend.problem`."""
        system = platform.system()
        if system != "Darwin":
            return f"Core ML predicts only on macOS, and this is {system or 'another system'}."
        return "" if self.installed() else "coreml is not installed: pip install 'cgsam-edge[coreml]'."

    def open(self, path: Path, options: SessionOptions) -> Session:  # noqa: ARG002 — Core ML has its own threads
        """Open an ``.mlpackage``; see `Backend.open`."""
        problem = self.problem()
        if problem:
            raise BackendError(f"{path}: {problem}")
        return CoreMLSession(path, self.units)


class CoreMLSession:
    """An opened ``.mlpackage``.

    Args:
        path: the package.
        units: one of `UNITS`.
    """

    def __init__(self, path: Path, units: str) -> None:
        import coremltools  # heavy, and says much, so on first use

        self._path = path
        self._lock = threading.Lock()
        try:
            spec = coremltools.proto.Model_pb2.Model()
            spec.ParseFromString((path / _DATA / "model.mlmodel").read_bytes())
            self._shapes = {i.name: tuple(i.type.multiArrayType.shape) for i in spec.description.input}
            chosen = getattr(coremltools.ComputeUnit, units)
            self._model: Any = coremltools.models.CompiledMLModel(_compiled(coremltools, path), compute_units=chosen)
        except Exception as error:  # its exceptions share no base class of their own
            raise BackendError(f"{path}: Core ML cannot open it: {error}") from error

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute all outputs; see `Session.run`."""
        given = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in inputs.items()}
        got = {name: array.shape for name, array in given.items()}
        if got != self._shapes:
            raise BackendError(f"{self._path}: expected the inputs {self._shapes}, got {got}.")
        with self._lock:
            if self._model is None:
                raise BackendError(f"{self._path}: the session is closed.")
            try:
                made = self._model.predict(given)
            except Exception as error:  # as above
                raise BackendError(f"{self._path}: Core ML failed: {error}") from error
        return {name: np.array(value, dtype=np.float32) for name, value in made.items()}

    def close(self) -> None:
        """Free the model."""
        with self._lock:
            self._model = None


def _compiled(coremltools: Any, package: Path) -> str:
    """Return the compiled form of a package, from the user's cache folder if it is there.

    Where the cache cannot be written, it is compiled to a temporary folder each time.
    """
    kept = cache_folder() / _digest(package) / f"{package.stem}.mlmodelc"
    if kept.is_dir():
        return str(kept)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(f"{os.getpid()}-{kept.name}")
        coremltools.models.utils.compile_model(str(package), str(beside))
        beside.rename(kept)
    except OSError:
        return str(coremltools.models.utils.compile_model(str(package)))
    return str(kept)


def cache_folder() -> Path:
    """Return the folder of the user's compiled packages."""
    return Path.home() / "Library" / "Caches" / "cgsam-edge" / "coreml"


def _digest(package: Path) -> str:
    """Return what tells a package from any other, and one macOS from the next: it compiles anew for each."""
    digest = hashlib.sha256(platform.mac_ver()[0].encode())
    for path in sorted((package / _DATA).rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
