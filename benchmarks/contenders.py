"""The contenders: upstream's code, the output of general exporters, and this project's bundles."""

from __future__ import annotations

from dataclasses import dataclass

EAGER = "pytorch"
"""The contender whose masks the others are compared with."""


@dataclass(frozen=True)
class Contender:
    """A way to segment.

    Attributes:
        key: for the command line and files.
        name: for tables.
        runner: of `runners.RUNNERS`.
        engine: "torch", "onnxruntime" or "openvino"; empty for the one that a bundle takes.
        precision: "fp32" or "int8".
        artefact: of `prepare.ARTEFACTS`; empty where the checkpoint is enough.
        arithmetic: of what is not INT8: "float32"; "reduced" for BF16 on processors that have it; "default" for the
            default of the engine or the bundle.
        by_default: whether it is what a user gets by choosing the engine alone; the first table shows these.
    """

    key: str
    name: str
    runner: str
    engine: str
    precision: str
    artefact: str = ""
    arithmetic: str = "float32"
    by_default: bool = False

    @property
    def ours(self) -> bool:
        """Whether it is this project's."""
        return self.runner == "bundle"


CONTENDERS = (
    Contender(EAGER, "PyTorch, eager", "eager", "torch", "fp32", by_default=True),
    Contender("pytorch-bf16", "PyTorch, eager, BF16 autocast", "eager", "torch", "fp32", arithmetic="reduced"),
    Contender("compiled", "PyTorch, torch.compile", "compiled", "torch", "fp32"),
    Contender("compiled-bf16", "PyTorch, torch.compile, BF16 autocast", "compiled", "torch", "fp32", "", "reduced"),
    Contender(
        "plain-onnxruntime", "plain ONNX, ONNX Runtime", "plain", "onnxruntime", "fp32", "plain", by_default=True
    ),
    Contender(
        "plain-onnxruntime-optimised",
        "plain ONNX, ONNX Runtime, its transformer optimiser",
        "plain",
        "onnxruntime",
        "fp32",
        "plain-optimised",
    ),
    Contender("plain-openvino", "plain ONNX, OpenVINO, float32", "plain", "openvino", "fp32", "plain"),
    Contender(
        "plain-openvino-default",
        "plain ONNX, OpenVINO as it comes",
        "plain",
        "openvino",
        "fp32",
        "plain",
        "default",
        True,
    ),
    Contender(
        "plain-onnxruntime-int8", "plain, ONNX Runtime, dynamic INT8", "plain", "onnxruntime", "int8", "plain-dynamic"
    ),
    Contender("plain-openvino-int8", "plain, OpenVINO, NNCF INT8", "plain", "openvino", "int8", "plain-nncf"),
    Contender(
        "plain-openvino-int8-default",
        "plain, OpenVINO, NNCF INT8 as it comes",
        "plain",
        "openvino",
        "int8",
        "plain-nncf",
        "default",
        True,
    ),
    Contender("ours-default", "cgsam-edge, its default", "bundle", "", "fp32", "bundle", "default", True),
    Contender("ours-int8-default", "cgsam-edge, INT8, its default", "bundle", "", "int8", "int8", "default", True),
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
    """Return the key of the plain float32 ONNX on the same engine; for PyTorch, a key that does not exist."""
    return f"plain-{contender.engine}"
