"""The layers of a graph that can be quantised, by name: the same names on every target and in every report."""

from __future__ import annotations

from torch import nn

from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.model import ImageGraph
from cgsam_edge.export.targets import CONVOLVED_GRAPHS, QUANTISED_GRAPHS


def quantisable(graph: Graph) -> dict[str, nn.Linear]:
    """Return the linear layers of an encoder graph by the path of their module, such as "blocks.0.attention.qkv".

    Attention's products, norms, the patch embedding and the neck are not among them. Graphs that are never quantised
    have none. All targets quantise these, and OpenVINO `convolutions` too.
    """
    if graph.name not in QUANTISED_GRAPHS:
        return {}
    linears = {name: module for name, module in graph.module.named_modules() if isinstance(module, nn.Linear)}
    uncalled = _uncalled(graph.module)
    return {name: module for name, module in linears.items() if module is not uncalled}


Convolution = nn.Conv2d | nn.Conv3d


def convolutions(graph: Graph) -> dict[str, Convolution]:
    """Return SAM's convolutions of several pixels by the path of their module: patch embedding and the neck's of 3 × 3.

    Only OpenVINO quantises them: ONNX Runtime is fast only if the output is rounded to eight bits too. The neck's of
    single pixels gains nothing, and CLIP's embedding little, whose errors move the points.
    """
    if graph.name not in CONVOLVED_GRAPHS:
        return {}
    found = ((name, one) for name, one in graph.module.named_modules() if isinstance(one, Convolution))
    return {name: one for name, one in found if one.kernel_size != (1, 1)}


def _uncalled(module: nn.Module) -> nn.Module | None:
    """Return the layer that an image graph only contains for the concept graph, whose ``first_up`` it is."""
    return module.first_up if isinstance(module, ImageGraph) else None
