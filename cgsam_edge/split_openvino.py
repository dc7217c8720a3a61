"""Cutting a graph in OpenVINO's format in two by its outputs; needs the package ``openvino``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cgsam_edge.errors import BackendError, BundleError
from cgsam_edge.runtimes import telemetry

SUFFIX = ".xml"


def split(source: Path, folder: Path, parts: Mapping[str, Sequence[str]]) -> dict[str, int | None]:
    """Write an ``.xml`` and a ``.bin`` for each part of a graph, with the operations that its outputs need.

    Args:
        source: the ``.xml`` file.
        folder: where the parts go, each as ``NAME.xml``.
        parts: names of outputs by the name of the part.

    Returns:
        The multiply-adds of each part.

    Raises:
        BackendError: the package is not installed.
        BundleError: the file cannot be read.
    """
    openvino = _import()
    try:
        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # the source may be removed while the model lives
        model = core.read_model(str(source))
    except RuntimeError as error:
        raise BundleError(f"{source}: OpenVINO cannot read it: {error}") from error
    counted: dict[str, int | None] = {}
    for name, outputs in parts.items():
        results = [model.output(output).get_node() for output in outputs]
        reached = _reached(results)
        parameters = [one for one in model.get_parameters() if one.get_friendly_name() in reached]
        part = openvino.Model(results, parameters, name)
        path = folder / f"{name}{SUFFIX}"
        openvino.serialize(part, str(path), str(path.with_suffix(".bin")))
        counted[name] = sum(map(_macs, part.get_ops()))
    return counted


def _import() -> Any:
    try:
        return telemetry.load("openvino")
    except ImportError as error:
        raise BackendError(
            f"graphs for openvino are split with the package openvino: pip install openvino ({error})."
        ) from error


def _reached(results: Iterable[Any]) -> set[str]:
    """Return the names of all operations that some results need."""
    found: set[str] = set()
    waiting = list(results)
    while waiting:
        op = waiting.pop()
        if op.get_friendly_name() not in found:
            found.add(op.get_friendly_name())
            waiting += [value.get_node() for value in op.input_values()]
    return found


def _macs(op: Any) -> int:
    """Count the multiply-adds of one product or convolution; 0 for other operations."""
    kind = op.get_type_name()
    if kind not in ("MatMul", "Convolution", "ScaledDotProductAttention"):
        return 0
    first, second = (_shape(op.input_value(place)) for place in (0, 1))
    values = math.prod(_shape(op.output(0)))
    if kind == "Convolution":
        return values * math.prod(second[1:])
    if kind == "MatMul":
        return values * (first[-2] if op.get_attributes()["transpose_a"] else first[-1])
    return values * second[-2] + math.prod(first) * second[-2]  # the scores times the values, and the scores


def _shape(value: Any) -> list[int]:
    return [int(side) for side in value.get_shape()]
