"""Matching the linear operators of a written package with the layers of the original graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from cgsam_edge.errors import ExportError
from cgsam_edge.export.mil.constants import same

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def find_linears(function: Any, layers: Mapping[str, nn.Linear], package: Path) -> dict[str, list[Any]]:
    """Return the ``linear`` operators of each layer, a layer that is called twice has two.

    They are found by the values of their weights. Names are not reliable: coremltools numbers operators, and for layers
    with equal weights it keeps one constant under one of their names. The operators of such layers are in the lists of
    all of them.

    Args:
        function: as `load_function` gives it, of a package without compressed weights.
        layers: linear modules by name.
        package: path of the package, for the message.

    Raises:
        ExportError: a layer is not in the package.
    """
    operators = [op for op in function.operations if op.op_type == "linear" and op.inputs["weight"].val is not None]
    found = {}
    for name, layer in layers.items():
        weight = layer.weight.detach().float().cpu().numpy()
        found[name] = [op for op in operators if _holds(op, weight)]
        if not found[name]:
            raise ExportError(
                f"{package}: no linear operator has the weight of the layer {name!r}, {weight.shape[0]} × "
                f"{weight.shape[1]}. The package belongs to another model: convert the graph again."
            )
    return found


def _holds(op: Any, weight: NDArray[np.float32]) -> bool:
    """Return whether an operator has this weight, in its precision; most others differ in the first row."""
    value = op.inputs["weight"].val
    return value.shape == weight.shape and same(weight[:1], value[:1]) and same(weight, value)
