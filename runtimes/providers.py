"""ONNX Runtime's execution providers as devices: what they are called, what brings them, and what they are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes.protocol import SessionOptions

CPU = "CPUExecutionProvider"
UNTOLD = "as the provider chooses"
"""Name of an arithmetic that a provider does not report; `mantissa` measures it."""

Settings = Callable[[SessionOptions], dict[str, str]]


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
        module: of the package that brings it as a plugin; empty where only a build of ONNX Runtime can.
        hardware: as plugins call the device that is meant: "CPU", "GPU" or "NPU".
        rare: whether it is listed only where it is found.
        state: what this project knows of it: empty where its tests run it.
    """

    device: str
    kind: str
    name: str
    package: str
    settings: Settings = lambda _: {}
    precision: str = UNTOLD
    module: str = ""
    hardware: str = ""
    rare: bool = False
    state: str = "never run by this project"

    @property
    def description(self) -> str:
        """Name and state, for a list."""
        return f"{self.name}, {self.state}" if self.state else self.name


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


def _openvino_plugin(hardware: str) -> Settings:
    """Return the settings of OpenVINO's plugin, which ignores the option "precision" without a word."""

    def settings(options: SessionOptions) -> dict[str, str]:
        failed = hardware == "GPU" and options.proven is not None and "float16" not in options.proven
        if options.precision == "float32" or (options.precision == "default" and (hardware == "CPU" or failed)):
            return {"load_config": json.dumps({hardware: {"INFERENCE_PRECISION_HINT": "f32"}})}
        return {}

    return settings


def _qnn(options: SessionOptions) -> dict[str, str]:
    if options.precision == "float32":
        raise BackendError("QNN computes in float16 on an NPU; it cannot be made to compute in float32.")
    return {"backend_type": "htp"} | ({} if options.soc is None else {"soc_model": str(options.soc)})


_OPENVINO = ("OpenVINOExecutionProvider", "onnxruntime-ep-openvino")

PROVIDERS = (
    Provider("TensorRT", "gpu", "TensorrtExecutionProvider", "onnxruntime-gpu", _tensorrt),
    Provider(
        "CUDA",
        "gpu",
        "CUDAExecutionProvider",
        "onnxruntime-gpu",
        _cuda,
        state="run by this project with its reference model on one H200",
    ),
    Provider("DirectML", "gpu", "DmlExecutionProvider", "onnxruntime-directml", precision="float32"),
    Provider(
        "CoreML", "npu", "CoreMLExecutionProvider", "onnxruntime, on macOS", lambda _: {"ModelFormat": "MLProgram"}
    ),
    Provider(
        "QNN",
        "npu",
        "QNNExecutionProvider",
        "onnxruntime-qnn",
        _qnn,
        "float16",
        module="onnxruntime_qnn",
        hardware="NPU",
        state="run by this project in a simulator alone",
    ),
    Provider(
        "WebGPU",
        "gpu",
        "WebGpuExecutionProvider",
        "onnxruntime-ep-webgpu",
        module="onnxruntime_ep_webgpu",
        hardware="GPU",
    ),
    Provider("OpenVINO", "any", _OPENVINO[0], "onnxruntime-openvino", _openvino),
    *(
        Provider(
            f"OpenVINO.{hardware}",
            hardware.lower(),
            *_OPENVINO,
            _openvino_plugin(hardware),
            module="onnxruntime_ep_openvino",
            hardware=hardware,
            rare=True,
        )
        for hardware in ("GPU", "NPU", "CPU")
    ),
    Provider("XNNPACK", "cpu", "XnnpackExecutionProvider", "a build of onnxruntime with it", rare=True),
    Provider("MIGraphX", "gpu", "MIGraphXExecutionProvider", "onnxruntime-migraphx", rare=True),
    Provider("NNAPI", "npu", "NnapiExecutionProvider", "a build of onnxruntime with it", rare=True),
    Provider("CPU", "cpu", CPU, "onnxruntime", precision="float32", state=""),
)
"""The most promising first."""
