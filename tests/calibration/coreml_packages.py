"""Samples for a graph, and the weights of written Core ML packages by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.mil.package import load_function
from cgsam_edge.export.mil.ranges import Feeds
from cgsam_edge.manifest import GraphSpec

Written = tuple[Path, GraphSpec]
"""A folder and the spec of the package in it."""

TWINS = ("blocks.0.lin1", "blocks.1.lin1")
"""Layers of equal weights, which coremltools stores once."""

FLAT = "blocks.0.lin2"
"""A layer with an output channel of zeros, and one too small for a scale in half precision."""


def samples(graph: Graph, seeds: range, scale: float = 1.0) -> list[dict[str, NDArray[np.float32]]]:
    """Inputs within the graph's limits, a dict for each seed."""
    made = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        noise = {name: torch.randn(shape, generator=generator) * scale for name, shape in graph.inputs.items()}
        noise |= {name: value * 64 + 128 for name, value in noise.items() if name == "pixels"}
        made.append({name: value.clamp(*graph.limits[name]).numpy() for name, value in noise.items()})
    return made


def feeds(graph: Graph, scale: float = 1.0) -> Feeds:
    return lambda: iter(samples(graph, range(3), scale))


def files(package: Path) -> dict[Path, bytes]:
    return {path.relative_to(package): path.read_bytes() for path in package.rglob("*") if path.is_file()}


def linears_of(package: Path, layer: str) -> list[Any]:
    """The operators of a layer, by the name that coremltools gives its weight."""
    start = f"p_inner_{layer.replace('.', '_')}_weight"
    operators = [op for op in load_function(package).operations if op.op_type == "linear"]
    return [op for op in operators if op.inputs["weight"].name.startswith(start)]


def weight_of(package: Path, layer: str) -> Any:
    """The operator that makes the weight of a layer."""
    (made,) = {op.inputs["weight"].op for op in linears_of(package, layer)}
    return made


def dense(op: Any) -> NDArray[np.float64]:
    """A weight as numbers."""
    value = op.outputs[0].val if op.op_type == "const" else op.materialized_val_inference()
    return np.asarray(value, np.float64)
