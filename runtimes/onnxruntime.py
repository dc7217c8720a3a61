"""ONNX Runtime: the CPU, and the execution providers of the installed build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import installed, nodes, telemetry
from cgsam_edge.runtimes.pool import Pool
from cgsam_edge.runtimes.protocol import Device, SessionFacts, SessionOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays, Session

    Settings = Callable[[SessionOptions], dict[str, str]]

_LEAST = (1, 20)
_PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-silicon",
)
CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """An execution provider as a device.

    Attributes:
        device: name for callers.
        kind: "cpu", "gpu" or "npu".
        name: ONNX Runtime's name.
        package: the package that contains it.
        settings: function from our options to its options.
        precision: what is known about its arithmetic.
    """

    device: str
    kind: str
    name: str
    package: str
    settings: Settings = lambda _: {}
    precision: str = "as the provider chooses"


def _cuda(options: SessionOptions) -> dict[str, str]:
    return {"use_tf32": "1" if options.precision == "reduced" else "0"}


def _tensorrt(options: SessionOptions) -> dict[str, str]:
    proven = options.precision == "default" and "float16" in (options.proven or ())
    made = {"trt_fp16_enable": "1" if proven or options.precision == "reduced" else "0"}
    if options.cache is not None:
        made |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(options.cache)}
    return made


def _openvino(options: SessionOptions) -> dict[str, str]:
    return {} if options.precision == "reduced" else {"precision": "FP32"}


PROVIDERS = (
    Provider("TensorRT", "gpu", "TensorrtExecutionProvider", "onnxruntime-gpu", _tensorrt),
    Provider("CUDA", "gpu", "CUDAExecutionProvider", "onnxruntime-gpu", _cuda),
    Provider("DirectML", "gpu", "DmlExecutionProvider", "onnxruntime-directml", precision="float32"),
    Provider(
        "CoreML", "npu", "CoreMLExecutionProvider", "onnxruntime, on macOS", lambda _: {"ModelFormat": "MLProgram"}
    ),
    Provider("QNN", "npu", "QNNExecutionProvider", "onnxruntime-qnn"),
    Provider("OpenVINO", "any", "OpenVINOExecutionProvider", "onnxruntime-openvino", _openvino),
    Provider("CPU", "cpu", CPU, "onnxruntime", precision="float32"),
)
"""The most promising first. This project's tests have only run the CPU."""


class OnnxRuntimeBackend:
    """The backend "onnxruntime"; see `Backend`."""

    name = "onnxruntime"
    targets = ("onnxruntime",)
    extras = ("onnxruntime", "onnxruntime-gpu")

    def version(self) -> str | None:
        """Return the version of the package that provides it; see `Backend.version`."""
        return installed.installed_version("onnxruntime", _PACKAGES)

    def problem(self) -> str:
        """Say what is wrong with the installation; see `Backend.problem`."""
        return installed.problem(self.name, self.version(), _LEAST, self.extras)

    def devices(self) -> tuple[Device, ...]:
        """Return the providers as devices; see `Backend.devices`."""
        held = _import().get_available_providers()
        return tuple(
            Device(p.device, p.kind, p.name, "" if p.name in held else f"this onnxruntime has no {p.name}; {_way(p)}")
            for p in PROVIDERS
        )

    def open(self, path: Path, options: SessionOptions) -> Session:
        """Open an ``.onnx`` file; see `Backend.open`."""
        if self.problem():
            raise BackendError(self.problem())
        found = next((d for d in self.devices() if d.name == options.device), None)
        if found is None:
            known = ", ".join(d.name for d in self.devices() if not d.missing)
            raise BackendError(f"onnxruntime has no device {options.device!r}; here it has {known}.")
        if found.missing:
            raise BackendError(f"{found.missing}.")
        return OnnxRuntimeSession(path, options, next(p for p in PROVIDERS if p.device == found.name))


class OnnxRuntimeSession:
    """An opened ``.onnx`` file.

    Args:
        path: the file.
        options: see `SessionOptions`.
        provider: where it runs; operators that the provider refuses run on the CPU, and `facts` reports how many.
    """

    def __init__(self, path: Path, options: SessionOptions, provider: Provider) -> None:
        self._path, self._provider, self._options = path, provider, options
        chosen = [(provider.name, provider.settings(options)), *([] if provider.name == CPU else [(CPU, {})])]
        try:
            self._session: Any = _import().InferenceSession(str(path), _settings(options), providers=chosen)
        except Exception as error:  # its exceptions have no common base class
            raise BackendError(f"{path}: ONNX Runtime cannot open it: {error}") from error
        self._session.disable_fallback()
        self._check_provider()
        self._shapes = {i.name: tuple(i.shape) for i in self._session.get_inputs()}
        self._outputs = [o.name for o in self._session.get_outputs()]
        self._turns = Pool(list(range(options.at_once)), str(path))  # the session itself has no limit

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute all outputs; see `Session.run`."""
        given = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in inputs.items()}
        got = {name: array.shape for name, array in given.items()}
        if got != self._shapes:
            raise BackendError(f"{self._path}: expected the inputs {self._shapes}, got {got}.")
        with self._turns.turn():
            try:
                values = self._session.run(self._outputs, given)
            except Exception as error:  # as above
                raise BackendError(f"{self._path}: ONNX Runtime failed: {error}") from error
        return dict(zip(self._outputs, values, strict=True))

    def facts(self) -> SessionFacts:
        """Return how many nodes each provider computes; see `Session.facts`."""
        with self._turns.turn():
            threads = self._options.thread_limit
            return SessionFacts(nodes.by_provider(self._session, self._path), self._provider.precision, threads)

    def close(self) -> None:
        """Free the session."""
        self._turns.close()
        self._session = None

    def _check_provider(self) -> None:
        """Refuse a provider that could not start, which ONNX Runtime would silently leave out."""
        if self._provider.name in self._session.get_providers():
            return
        raise BackendError(
            f"{self._path}: ONNX Runtime could not start {self._provider.name} (its libraries or driver are missing) "
            f"and would have run on {', '.join(self._session.get_providers())}."
        )


def _settings(options: SessionOptions) -> Any:
    settings = _import().SessionOptions()
    settings.log_severity_level = 3  # its warnings about its own optimiser do not help users
    nodes.record(settings)
    threads = 1 if options.performance == "throughput" else options.thread_limit
    if threads is not None:
        settings.intra_op_num_threads = threads
    if options.performance == "low-power":
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # each graph has its own threads: those of the previous one would busy-wait on cores while the next one runs
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    settings.enable_mem_pattern = False  # with planning, a full-size SAM takes 50 % more memory and is no faster
    if options.save_memory:
        settings.enable_cpu_mem_arena = False
    elif _share_memory():
        settings.add_session_config_entry("session.use_env_allocators", "1")
    return settings


@lru_cache(maxsize=1)
def _share_memory() -> bool:
    """Make all graphs of the process share one memory pool; return False if that is not possible."""
    engine = _import()
    try:
        kind = engine.OrtAllocatorType.ORT_ARENA_ALLOCATOR
        place = engine.OrtMemoryInfo("Cpu", kind, 0, engine.OrtMemType.DEFAULT)
        engine.create_and_register_allocator(place, engine.OrtArenaCfg({}))
    except (
        AttributeError,
        RuntimeError,
    ):  # a build without shared pools, or a release that refuses because the app has made one
        return False
    return True


def _import() -> Any:
    try:
        return telemetry.load("onnxruntime")
    except ImportError as error:
        raise BackendError(f"onnxruntime cannot be imported: {error}") from error


def _way(provider: Provider) -> str:
    return f"pip install {provider.package}" if " " not in provider.package else f"it comes with {provider.package}"
