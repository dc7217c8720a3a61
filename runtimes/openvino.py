"""OpenVINO: CPUs, and Intel's GPUs and NPUs. Opens its own format and, without conversion, ONNX."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import BackendError
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.runtimes import allocator, installed, telemetry
from cgsam_edge.runtimes.compiled import fingerprint
from cgsam_edge.runtimes.pool import Pool
from cgsam_edge.runtimes.protocol import Device, SessionFacts, SessionOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays, Session

_LEAST = (2025, 0)
"""The oldest release whose ``CompiledModel`` can release memory."""

_AUTO = Device("AUTO", "any", "OpenVINO's own choice among its devices")
_KNOWN = {"GPU": "gpu", "NPU": "npu", "CPU": "cpu"}
NAMES = (*_KNOWN, _AUTO.name)
"""Devices that OpenVINO can have; a machine with two GPUs has GPU.0 and GPU.1."""

_PRECISIONS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


class OpenVinoBackend:
    """The backend "openvino"; see `Backend`."""

    name = "openvino"
    targets = ("openvino", "onnxruntime")
    extras = ("openvino",)

    def version(self) -> str | None:
        """Return the version of the package; see `Backend.version`."""
        return installed.installed_version("openvino", ("openvino",))

    def problem(self) -> str:
        """Say what is wrong with the installation; see `Backend.problem`."""
        return installed.problem(self.name, self.version(), _LEAST, self.extras)

    def devices(self) -> tuple[Device, ...]:
        """Return GPUs, NPUs, the CPU and AUTO; see `Backend.devices`."""
        core = _core()
        seen = [Device(name, _kind(name), _description(core, name)) for name in core.available_devices]
        absent = [
            Device(name, kind, missing=f"OpenVINO sees no {name} here: {_why_missing(core, name)}")
            for name, kind in _KNOWN.items()
            if kind not in {device.kind for device in seen}
        ]
        order = list(_KNOWN.values())
        return (*sorted([*seen, *absent], key=lambda d: order.index(d.kind)), _AUTO)

    def capabilities(self, device: Device) -> tuple[str, ...]:
        """Return what a device computes in, as OpenVINO calls it: "FP32", "BF16", "INT8" and so on."""
        return _capabilities(_core(), device.name)

    def open(self, path: Path, options: SessionOptions) -> Session:
        """Open an ``.xml`` or ``.onnx`` file; see `Backend.open`."""
        if self.problem():
            raise BackendError(self.problem())
        return OpenVinoSession(path, options, self._device(options.device))

    def _device(self, wanted: str) -> Device:
        devices = self.devices()
        found = next((d for d in devices if d.name == wanted), None)
        if found is None:
            known = ", ".join(d.name for d in devices if not d.missing)
            raise BackendError(f"openvino has no device {wanted!r}; here it has {known}.")
        if found.missing:
            raise BackendError(f"{found.missing}.")
        return found


class OpenVinoSession:
    """A compiled graph.

    Args:
        path: the file.
        options: see `SessionOptions`.
        device: where it runs.
    """

    def __init__(self, path: Path, options: SessionOptions, device: Device) -> None:
        self._path, self._device = path, device
        core = _core()
        hint = precision_hint(options.precision, device, _capabilities(core, device.name), options.proven)
        with NATIVE_CALL:
            self._compiled: Any = _compile(core, path, device, settings(options, device, hint))
        self._shapes = {port.get_any_name(): _shape(path, port) for port in self._compiled.inputs}
        self._outputs = [port.get_any_name() for port in self._compiled.outputs]
        self._hint = hint
        count = min(options.at_once, _optimal_requests(self._compiled))
        self._frees = options.save_memory and count == 1
        self._requests: Pool[Any] = Pool([self._compiled.create_infer_request() for _ in range(count)], str(path))

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute all outputs; see `Session.run`."""
        given = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in inputs.items()}
        got = {name: array.shape for name, array in given.items()}
        if got != self._shapes:
            raise BackendError(f"{self._path}: expected the inputs {self._shapes}, got {got}.")
        with self._requests.turn() as request:
            try:
                request.infer(given, share_inputs=True)
                out = {name: np.array(request.get_tensor(name).data) for name in self._outputs}
                if self._frees:
                    self._compiled.release_memory()
            except Exception as error:  # plain RuntimeErrors
                raise BackendError(f"{self._path}: OpenVINO failed: {_brief(error)}") from error
        allocator.count_run()
        return out

    def facts(self) -> SessionFacts:
        """Return where the graph runs; see `Session.facts`."""
        with self._requests.turn():
            devices = self._property("EXECUTION_DEVICES") or [self._device.name]
            return SessionFacts(
                nodes={"+".join(str(d) for d in devices): _operations(self._compiled)},
                precision=self._precision(),
                threads=self._property("INFERENCE_NUM_THREADS") if self._device.kind == "cpu" else None,
                cached=bool(self._property("LOADED_FROM_CACHE")),
            )

    def close(self) -> None:
        """Free the compiled graph."""
        self._requests.close()
        self._compiled = None

    def _precision(self) -> str:
        found = self._property("INFERENCE_PRECISION_HINT")
        name = self._hint if found is None else str(found.get_type_name())
        return _PRECISIONS.get(name, f"{name or 'as AUTO chooses'}")

    def _property(self, name: str) -> Any:
        try:
            return self._compiled.get_property(name)
        except RuntimeError:  # a device without this property
            return None


def precision_hint(
    wanted: str, device: Device, capabilities: tuple[str, ...], proven: tuple[str, ...] | None = None
) -> str:
    """Return the value of ``INFERENCE_PRECISION_HINT``; empty leaves it to AUTO's device.

    Left alone, a CPU with BF16 computes in it whatever the masks, so what is not proven has to be asked for.

    Args:
        wanted: `SessionOptions.precision`.
        device: where the graph runs.
        capabilities: as OpenVINO lists the device's.
        proven: `SessionOptions.proven`.

    Raises:
        BackendError: float32 is requested from a device that does not support it.
    """
    if device.kind == "npu":
        if wanted == "float32":
            raise BackendError(f"{device.name} computes in float16; it cannot be made to compute in float32.")
        return "f16"
    if device.kind == "any":
        return "" if wanted == "reduced" else "f32"
    here = [hint for name, hint in (("BF16", "bf16"), ("FP16", "f16")) if name in capabilities]
    if wanted == "default" and (proven is not None or device.kind == "cpu"):
        here = [hint for hint in here if _PRECISIONS[hint] in (proven or ())]
    return here[0] if here and wanted != "float32" else "f32"


def settings(options: SessionOptions, device: Device, hint: str) -> dict[str, Any]:
    """Return OpenVINO's properties for the options."""
    made: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT" if options.performance == "throughput" else "LATENCY"}
    if hint:
        made["INFERENCE_PRECISION_HINT"] = hint
    if device.kind == "cpu" and options.thread_limit is not None:
        made["INFERENCE_NUM_THREADS"] = options.thread_limit
    if options.cache is not None:
        made["CACHE_DIR"] = str(options.cache / fingerprint(made))  # its own cache key ignores the precision
    return made


def unsupported(core: Any, path: Path, device: str) -> str:
    """Return the operations of a graph that a device refuses, for a message; empty if it does not report them."""
    try:
        model = core.read_model(str(path))
        accepted = core.query_model(model, device)
    except RuntimeError:
        return ""
    kinds = Counter(op.get_type_name() for op in model.get_ops() if op.get_friendly_name() not in accepted)
    return ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(5))


@lru_cache(maxsize=1)
def _core() -> Any:
    try:
        return telemetry.load("openvino").Core()
    except ImportError as error:
        raise BackendError(f"openvino cannot be imported: {error}") from error


def _compile(core: Any, path: Path, device: Device, properties: dict[str, Any]) -> Any:
    try:
        return core.compile_model(str(path), device.name, properties)
    except Exception as error:  # plain RuntimeErrors
        refused = "" if device.kind == "cpu" else unsupported(core, path, device.name)
        hint = f"; it does not support {refused}" if refused else ""
        raise BackendError(f"{path}: OpenVINO cannot open it on {device.name}: {_brief(error)}{hint}") from error


def _shape(path: Path, port: Any) -> tuple[int, ...]:
    if port.partial_shape.is_dynamic:
        raise BackendError(f"{path}: the input {port.get_any_name()!r} has no fixed shape; NPUs need fixed ones.")
    return tuple(port.shape)


def _kind(name: str) -> str:
    return _KNOWN.get(name.partition(".")[0], "cpu")


def _description(core: Any, name: str) -> str:
    try:
        return str(core.get_property(name, "FULL_DEVICE_NAME")).strip()
    except RuntimeError:
        return ""


def _capabilities(core: Any, name: str) -> tuple[str, ...]:
    try:
        return tuple(core.get_property(name, "OPTIMIZATION_CAPABILITIES"))
    except RuntimeError:
        return ()


def _why_missing(core: Any, name: str) -> str:
    try:
        core.get_property(name, "AVAILABLE_DEVICES")
    except RuntimeError as error:  # its plugin cannot be loaded
        return _brief(error)
    return "there is none, or no driver for it"


def _optimal_requests(compiled: Any) -> int:
    try:
        return int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    except RuntimeError:
        return 1


def _operations(compiled: Any) -> int:
    """Return the number of operations of the compiled graph, without constants, inputs and outputs."""
    kinds = ("Const", "Input", "Output")
    try:
        infos = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    except RuntimeError:  # AUTO and some devices do not expose it
        return 0
    return sum(str(info["layerType"].astype(str)) not in kinds for info in infos if "layerType" in info)


def _brief(error: Exception) -> str:
    """Return the last line of OpenVINO's message that is not a source position."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("Exception from ")]
    return (told or lines or [type(error).__name__])[-1]
