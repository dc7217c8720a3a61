"""One converter per target, and the table that names them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.targets import onnxruntime, openvino
from cgsam_edge.manifest import GraphSpec

Converter = Callable[[Graph, Path, str], GraphSpec]
"""Writes one graph into a target's folder at a precision, and says what it wrote."""


@dataclass(frozen=True)
class Target:
    """A target of the export.

    Attributes:
        convert: see `Converter`.
        precisions: those that it can write.
        needs: the module that it converts with, which the extra "export" brings.
    """

    convert: Converter
    precisions: tuple[str, ...]
    needs: str = "onnx"


TARGETS: dict[str, Target] = {
    "onnxruntime": Target(onnxruntime.convert, ("fp32", "fp16")),
    "openvino": Target(openvino.convert, ("fp32", "fp16"), needs="openvino"),
}
