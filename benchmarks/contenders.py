"""Who is measured: what upstream runs, what general exporters give, and this project's bundles."""

from __future__ import annotations

from dataclasses import dataclass

EAGER = "pytorch"
"""The contender whose masks the others are held to."""


@dataclass(frozen=True)
class Contender:
    """A way to segment.

    Attributes:
        key: for the command line and files.
        name: for tables.
        runner: of `runners.RUNNERS`.
        engine: "torch", "onnxruntime" or "openvino".
        precision: "fp32" or "int8".
        artefact: of `prepare.ARTEFACTS`; empty where the checkpoint is enough.
        arithmetic: of what is not INT8: "float32", or "reduced" for BF16 on processors that have it.
    """

    key: str
    name: str
    runner: str
    engine: str
    precision: str
    artefact: str = ""
    arithmetic: str = "float32"

    @property
    def ours(self) -> bool:
        """Whether it is this project's."""
        return self.runner == "bundle"


CONTENDERS = (
    Contender(EAGER, "PyTorch, eager", "eager", "torch", "fp32"),
    Contender("compiled", "PyTorch, torch.compile", "compiled", "torch", "fp32"),
    Contender("plain-onnxruntime", "plain ONNX, ONNX Runtime", "plain", "onnxruntime", "fp32", "plain"),
    Contender("plain-openvino", "plain ONNX, OpenVINO", "plain", "openvino", "fp32", "plain"),
    Contender(
        "plain-onnxruntime-int8", "plain, ONNX Runtime, dynamic INT8", "plain", "onnxruntime", "int8", "plain-dynamic"
    ),
    Contender("plain-openvino-int8", "plain, OpenVINO, NNCF INT8", "plain", "openvino", "int8", "plain-nncf"),
    Contender("ours-onnxruntime", "cgsam-edge, ONNX Runtime", "bundle", "onnxruntime", "fp32", "bundle"),
    Contender("ours-openvino", "cgsam-edge, OpenVINO", "bundle", "openvino", "fp32", "bundle"),
    Contender("ours-openvino-bf16", "cgsam-edge, OpenVINO, BF16", "bundle", "openvino", "fp32", "bundle", "reduced"),
    Contender("ours-onnxruntime-int8", "cgsam-edge, ONNX Runtime, INT8", "bundle", "onnxruntime", "int8", "int8"),
    Contender("ours-openvino-int8", "cgsam-edge, OpenVINO, INT8", "bundle", "openvino", "int8", "int8"),
    Contender(
        "ours-openvino-int8-bf16", "cgsam-edge, OpenVINO, INT8, BF16", "bundle", "openvino", "int8", "int8", "reduced"
    ),
)


def plain_of(contender: Contender) -> str:
    """Return the key of the plain float32 ONNX on the same engine; of one that does not exist for PyTorch."""
    return f"plain-{contender.engine}"
