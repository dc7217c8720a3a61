"""One converter per target, and the table that names them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cgsam_edge.export.targets import coreml, onnxruntime, openvino
from cgsam_edge.manifest import GraphSpec

Converter = Callable[..., GraphSpec]
"""Takes a `Graph`, the folder of the bundle being written, a precision, and the target's settings by name; writes the
graph into the target's folder and says what it wrote."""


@dataclass(frozen=True)
class Target:
    """A target of the export.

    Attributes:
        convert: see `Converter`.
        precisions: those that it can write, the default first.
        settings: options of the export that its converter takes.
        quantised_from: the precision that a graph is written in before it is quantised.
        needs: modules to import, beyond those of every export.
    """

    convert: Converter
    precisions: tuple[str, ...]
    settings: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    quantised_from: str = "fp32"

    @property
    def default_precision(self) -> str:
        """What is written when nobody says a precision."""
        return self.precisions[0]


TARGETS: dict[str, Target] = {
    "onnxruntime": Target(onnxruntime.convert, ("fp32", "fp16", "int8")),
    "openvino": Target(openvino.convert, ("fp32", "fp16", "int8"), needs=("openvino",)),
    "coreml": Target(
        coreml.convert, ("fp16", "fp32", "int8"), quantised_from="fp16", settings=("ios",), needs=("coremltools",)
    ),
}
