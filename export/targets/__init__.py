"""The targets of an export. PyTorch and the target's converter are imported on first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from cgsam_edge.manifest import GraphSpec

Converter = Callable[..., GraphSpec]
"""Takes a `Graph`, the folder of the bundle being written, a precision, and the target's settings by name; writes
the graph into the target's folder, and returns its spec."""

QUANTISED_GRAPHS = ("clip", "image", "concept")
"""The decoder is not included: quantising it costs accuracy and saves no time."""

CONVOLVED_GRAPHS = ("image", "concept")
"""Those of which some targets quantise convolutions too."""

QUANTISED = ("int4", "int8")
"""Precisions that need calibration, the lowest first."""

COREML = "coreml"

IOS_VERSIONS = (16, 17, 18)
DEFAULT_IOS = 17

COREML_INT8 = {"weights": "int8", "w8a8": "int8", "palette6": "int6", "palette4": "int4"}
"""The kinds of INT8 on Core ML, and the name of each one's precision in a bundle."""

DEFAULT_COREML_INT8 = "weights"


@dataclass(frozen=True)
class Target:
    """A target of the export.

    Attributes:
        module: name within this package; its ``convert`` is a `Converter`.
        precisions: precisions that it can write, the default first.
        settings: options of the export that its converter accepts.
        quantised_from: precision of a graph before it is quantised.
        convolutions: whether INT8 is also of convolutions.
        needs: modules that it needs, beyond those of every export.
    """

    module: str
    precisions: tuple[str, ...]
    settings: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    quantised_from: str = "fp32"
    convolutions: bool = False

    @property
    def default_precision(self) -> str:
        """The precision of an export without --precision."""
        return self.precisions[0]

    @property
    def convert(self) -> Converter:
        """The target's converter."""
        found: Converter = importlib.import_module(f"{__name__}.{self.module}").convert
        return found


TARGETS: dict[str, Target] = {
    "onnxruntime": Target("onnxruntime", ("fp32", "fp16", "int8", "int4")),
    "openvino": Target("openvino", ("fp32", "fp16", "int8", "int4"), needs=("openvino",), convolutions=True),
    COREML: Target(
        "coreml", ("fp16", "fp32", "int8", "int4"), quantised_from="fp16", settings=("ios",), needs=("coremltools",)
    ),
}
