"""Core ML, through coremltools: on macOS alone.

Written from coremltools' documentation and never run: nobody has tried it on a Mac yet.
"""

from __future__ import annotations

import hashlib
import os
import platform
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import BackendError
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.runtimes import installed, telemetry
from cgsam_edge.runtimes.protocol import Device, SessionFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays, Session, SessionOptions

_UNITS = (
    Device("CPU_AND_NE", "npu", "the Neural Engine, and the CPU for the rest"),
    Device("CPU_AND_GPU", "gpu", "the GPU, and the CPU for the rest"),
    Device("CPU_ONLY", "cpu"),
    Device("ALL", "any", "Core ML's own choice among them"),
)
"""Core ML's names of the compute units among which it may choose."""

NAMES = tuple(unit.name for unit in _UNITS)

_LEAST = (9, 0)
"""The oldest coremltools that the packages were written with."""

_DATA = Path("Data") / "com.apple.CoreML"


class CoreMLBackend:
    """The backend "coreml"; see `Backend`. Its devices are Core ML's compute units."""

    name = "coreml"
    targets = ("coreml",)
    extras = ("coreml",)

    def version(self) -> str | None:
        """Return the version of coremltools; see `Backend.version`."""
        return installed.installed_version("coremltools", ("coremltools",))

    def problem(self) -> str:
        """Say why it cannot run here; see `Backend.problem`."""
        system = platform.system()
        if system != "Darwin":
            return f"Core ML predicts only on macOS, and this is {system or 'another system'}."
        return installed.problem(self.name, self.version(), _LEAST, self.extras)

    def devices(self) -> tuple[Device, ...]:
        """Return Core ML's compute units; see `Backend.devices`."""
        problem = self.problem()
        return tuple(replace(unit, missing=problem) for unit in _UNITS) if problem else _UNITS

    def open(self, path: Path, options: SessionOptions) -> Session:
        """Open an ``.mlpackage``; see `Backend.open`."""
        problem = self.problem()
        if problem:
            raise BackendError(f"{path}: {problem}")
        if options.device not in NAMES:
            raise BackendError(f"coreml has no device {options.device!r}; here it has {', '.join(NAMES)}.")
        if options.precision == "float32" and options.device != "CPU_ONLY":
            raise BackendError(
                f"coreml computes in float16 on {options.device}; only CPU_ONLY can compute in float32, with graphs "
                "exported with --precision fp32."
            )
        return CoreMLSession(path, options)


class CoreMLSession:
    """An opened ``.mlpackage``.

    Args:
        path: the package.
        options: see `SessionOptions`; Core ML has its own threads.
    """

    def __init__(self, path: Path, options: SessionOptions) -> None:
        coremltools = telemetry.load("coremltools")
        self._path, self._units = path, options.device
        self._lock = threading.Lock()
        try:
            spec = coremltools.proto.Model_pb2.Model()
            spec.ParseFromString((path / _DATA / "model.mlmodel").read_bytes())
            self._shapes = {i.name: tuple(i.type.multiArrayType.shape) for i in spec.description.input}
            chosen = getattr(coremltools.ComputeUnit, options.device)
            self._model: Any = coremltools.models.CompiledMLModel(
                _compiled(coremltools, path, options.cache), compute_units=chosen
            )
        except Exception as error:  # its exceptions have no common base class
            raise BackendError(f"{path}: Core ML cannot open it: {error}") from error

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute all outputs; see `Session.run`."""
        given = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in inputs.items()}
        got = {name: array.shape for name, array in given.items()}
        if got != self._shapes:
            raise BackendError(f"{self._path}: expected the inputs {self._shapes}, got {got}.")
        with NATIVE_CALL, self._lock:
            if self._model is None:
                raise BackendError(f"{self._path}: the session is closed.")
            try:
                made = self._model.predict(given)
            except Exception as error:  # as above
                raise BackendError(f"{self._path}: Core ML failed: {error}") from error
        return {name: np.array(value, dtype=np.float32) for name, value in made.items()}

    def facts(self) -> SessionFacts:
        """Return the compute units; Core ML reports no more without Xcode. See `Session.facts`."""
        if self._model is None:
            raise BackendError(f"{self._path}: the session is closed.")
        return SessionFacts({self._units: 0}, "float16, float32 or both, as Core ML decides")

    def close(self) -> None:
        """Free the model."""
        with self._lock:
            self._model = None


def _compiled(coremltools: Any, package: Path, cache: Path | None) -> str:
    """Return the compiled form of a package, from the cache if possible.

    Without a writable cache, it is compiled to a temporary folder each time.
    """
    if cache is None:
        return str(coremltools.models.utils.compile_model(str(package)))
    kept = cache / _digest(package) / f"{package.stem}.mlmodelc"
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


def _digest(package: Path) -> str:
    """Return an identifier of the package and the macOS version: each version compiles again."""
    digest = hashlib.sha256(platform.mac_ver()[0].encode())
    for path in sorted((package / _DATA).rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
