"""ONNX Runtime: the CPU, and the execution providers of the installed build."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.caller_warning import warn_caller
from cgsam_edge.errors import BackendError
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.runtimes import contexts, installed, mantissa, nodes, provider_plugins, telemetry
from cgsam_edge.runtimes.pool import Pool
from cgsam_edge.runtimes.protocol import Device, SessionFacts, SessionOptions
from cgsam_edge.runtimes.providers import CPU, PROVIDERS, UNTOLD, Provider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays, Session

_LEAST = (1, 20)
_PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-silicon",
)


class OnnxRuntimeBackend:
    """The backend "onnxruntime"; see `Backend`."""

    name = "onnxruntime"
    targets = ("onnxruntime",)
    extras = ("onnxruntime", "onnxruntime-gpu")

    def version(self) -> str | None:
        """Return the version of the package that provides it, and of its plugins; see `Backend.version`."""
        loaded = sys.modules.get("onnxruntime")  # it knows better: packages can overwrite each other's files
        found = getattr(loaded, "__version__", None) or installed.installed_version("onnxruntime", _PACKAGES)
        brought = provider_plugins.versions()
        return found if found is None or not brought else f"{found} ({', '.join(brought)})"

    def problem(self) -> str:
        """Say what is wrong with the installation; see `Backend.problem`."""
        return installed.problem(self.name, self.version(), _LEAST, self.extras)

    def devices(self) -> tuple[Device, ...]:
        """Return the providers as devices; see `Backend.devices`."""
        held = _import().get_available_providers()
        return tuple(_device(one, held) for one in PROVIDERS if not one.rare or _found(one, held))

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
        if provider_plugins.simulated(provider) and options.soc is None:
            raise BackendError(f"{path}: cannot be opened: {provider_plugins.missing_chip()}")
        plain = (contexts.Context(path),)
        found = contexts.of(path, options) if provider.device == contexts.DEVICE else plain
        self._session: Any
        with NATIVE_CALL:
            self._session, self._cached = _opened(found, options, provider)
        self._session.disable_fallback()
        self._check_provider()
        self._check_precision()
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
            counts = nodes.by_provider(self._session, self._path)
            return SessionFacts(counts, _precision(self._provider, self._options), threads, self._cached)

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

    def _check_precision(self) -> None:
        """Refuse what a provider does in silence: computing in less than float32 where that is wanted."""
        wanted = self._options.precision
        if wanted != "float32" and not (wanted == "default" and self._provider.kind == "cpu"):
            return
        found = _precision(self._provider, self._options)
        proven = (self._options.proven or ()) if wanted == "default" else ()
        if found not in ("float32", UNTOLD, *proven):
            raise BackendError(
                f"{self._path}: {self._provider.device} computes in {found}, as a product of matrices shows, and "
                "float32 was expected. Use another device, or precision='reduced' if its masks are good enough for you."
            )


def compile_context(path: Path, made: Path, soc: int) -> None:
    """Compile a graph for a chip of Qualcomm into one file that holds nothing else.

    Args:
        path: the ``.onnx`` file.
        made: the file to write.
        soc: Qualcomm's model number.

    Raises:
        BackendError: it cannot be compiled, or not as a whole.
    """
    provider = next(one for one in PROVIDERS if one.device == contexts.DEVICE)
    options = SessionOptions(device=provider.device, soc=soc)
    try:
        session = _session(path, options, provider, contexts.writing(made))
    except Exception as error:  # its exceptions have no common base class
        raise BackendError(f"{path}: cannot be compiled for chip {soc}: {error}") from error
    elsewhere = nodes.kinds_elsewhere(session, provider.name)
    del elsewhere["DequantizeLinear"]  # of INT8 weights: constants, which QNN takes as floats
    if elsewhere or not made.is_file():
        raise BackendError(
            f"{path}: cannot be compiled as a whole for chip {soc}: {dict(elsewhere) or 'nothing was written'}."
        )


def _found(provider: Provider, held: list[str]) -> bool:
    return provider_plugins.installed(provider) if provider.module else provider.name in held


def _device(provider: Provider, held: list[str]) -> Device:
    if provider_plugins.installed(provider):
        return provider_plugins.device(provider)
    missing = "" if provider.name in held else f"this onnxruntime has no {provider.name}; {_way(provider)}"
    return Device(provider.device, provider.kind, provider.description, missing)


def _opened(choices: Sequence[contexts.Context], options: SessionOptions, provider: Provider) -> tuple[Any, bool]:
    """Open the first file that loads, with a warning for each that does not; also return whether it was compiled."""
    first, *others = choices
    try:
        return _session(first.path, options, provider, first.entries), first.compiled
    except BackendError:
        raise
    except Exception as error:  # its exceptions have no common base class
        if not others:
            raise BackendError(f"{first.path}: ONNX Runtime cannot open it: {error}") from error
        warn_caller(
            f"{first.path}: ONNX Runtime cannot open this compiled graph, so {others[0].path.name} is opened "
            f"instead, which may take longer. {first.remedy} ({error})"
        )
        return _opened(others, options, provider)


def _session(path: Path, options: SessionOptions, provider: Provider, entries: dict[str, str]) -> Any:
    """Open a graph; what the provider refuses runs on the CPU."""
    settings = _settings(options)
    for key, value in entries.items():
        settings.add_session_config_entry(key, value)
    if provider_plugins.installed(provider):
        settings.add_provider_for_devices(provider_plugins.hardware(provider), provider.settings(options))
        return _import().InferenceSession(str(path), settings)
    chosen = [(provider.name, provider.settings(options)), *([] if provider.name == CPU else [(CPU, {})])]
    return _import().InferenceSession(str(path), settings, providers=chosen)


def _precision(provider: Provider, options: SessionOptions) -> str:
    """Return the name of a provider's arithmetic, measured if the provider does not report it."""
    if provider.precision != UNTOLD:
        return provider.precision
    return _measured(provider, replace(options, cache=None, device=provider.device))


@lru_cache
def _measured(provider: Provider, options: SessionOptions) -> str:
    """Return the arithmetic of a product of matrices; `UNTOLD` where the provider does not compute it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        path.write_bytes(mantissa.model())
        try:
            session = _session(path, options, provider, {})
            if set(nodes.by_provider(session, path)) != {provider.name}:
                return UNTOLD
            return mantissa.name(lambda x: np.asarray(session.run(["y"], {"x": x})[0], np.float32))
        except Exception:  # as above; the graphs themselves may still run
            return UNTOLD


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
