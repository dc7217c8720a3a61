"""ONNX Runtime on the CPU."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes.protocol import SessionOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays, Session

_PROVIDERS = ["CPUExecutionProvider"]


class OnnxRuntimeBackend:
    """The backend "onnxruntime"; see `Backend`."""

    name = "onnxruntime"
    target = "onnxruntime"
    extras = ("onnxruntime", "onnxruntime-gpu")

    def installed(self) -> bool:
        """Whether ``import onnxruntime`` would find it."""
        return importlib.util.find_spec("onnxruntime") is not None

    def problem(self) -> str:
        """Say why it cannot run here; see `Backend.problem`."""
        ways = " or ".join(f"pip install 'cgsam-edge[{extra}]'" for extra in self.extras)
        return "" if self.installed() else f"{self.name} is not installed: {ways}."

    def open(self, path: Path, options: SessionOptions) -> Session:
        """Open an ``.onnx`` file; see `Backend.open`."""
        return OnnxRuntimeSession(path, options)


class OnnxRuntimeSession:
    """An opened ``.onnx`` file.

    Runs follow each other: one run already takes all threads, and two at once would only double the memory.

    Args:
        path: the file.
        options: see `SessionOptions`.
    """

    def __init__(self, path: Path, options: SessionOptions) -> None:
        import onnxruntime  # heavy, so on first use

        self._path = path
        self._lock = threading.Lock()
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3  # warnings about its own optimiser help no user
        if options.threads is not None:
            settings.intra_op_num_threads = options.threads
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), settings, providers=_PROVIDERS)
        except Exception as error:  # its exceptions share no base class of their own
            raise BackendError(f"{path}: ONNX Runtime cannot open it: {error}") from error
        self._shapes = {i.name: tuple(i.shape) for i in self._session.get_inputs()}
        self._outputs = [o.name for o in self._session.get_outputs()]

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute all outputs; see `Session.run`."""
        given = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in inputs.items()}
        got = {name: array.shape for name, array in given.items()}
        if got != self._shapes:
            raise BackendError(f"{self._path}: expected the inputs {self._shapes}, got {got}.")
        with self._lock:
            if self._session is None:
                raise BackendError(f"{self._path}: the session is closed.")
            try:
                values = self._session.run(self._outputs, given)
            except Exception as error:  # as above
                raise BackendError(f"{self._path}: ONNX Runtime failed: {error}") from error
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        """Free the session."""
        with self._lock:
            self._session = None
