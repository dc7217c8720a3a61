"""Smoothing of outlier channels (SmoothQuant, Xiao et al. 2022), exact: the next layer undoes a norm's change.

The channels of a layer norm's output differ in magnitude, and a single range has to cover them all. Dividing each
channel by s in the norm, and multiplying the columns of the layers that read it by s, changes nothing in exact
arithmetic, and moves part of the difficulty into the weights, whose rows have separate ranges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cgsam_edge.calibration.ranges import Layer, Seen
from cgsam_edge.export.graphs.attention import FusedAttention
from cgsam_edge.export.graphs.build import Graph, Graphs
from cgsam_edge.export.graphs.clip import ClipBlock
from cgsam_edge.export.graphs.encoder import FusedBlock, SemanticBlock


@dataclass(frozen=True)
class Site:
    """A norm and the layers that read it: (module that holds it, its attribute)."""

    norm: tuple[Any, str]
    readers: tuple[tuple[Any, str], ...]


def sites(module: nn.Module) -> Iterator[Site]:
    """Yield the places in a graph's module that can be smoothed."""
    for part in module.modules():
        if isinstance(part, FusedAttention):
            yield Site((part, "norm"), ((part, "qkv"),))
        elif isinstance(part, SemanticBlock):
            yield Site((part, "norm"), ((part, "lin1"), (part, "down")))
        elif isinstance(part, FusedBlock):
            yield Site((part, "norm"), ((part, "lin1"),))
        elif isinstance(part, ClipBlock):
            yield Site((part, "ln_1"), ((part.attention, "qkv"),))
            yield Site((part, "ln_2"), ((part.mlp, "c_fc"),))


def readers(graphs: Graphs) -> dict[Layer, Layer]:
    """Return the layers that read a norm which can be smoothed, each with the first that reads the same norm."""
    found: dict[Layer, Layer] = {}
    for graph in graphs:
        names = {id(layer): name for name, layer in graph.module.named_modules()}
        for site in sites(graph.module):
            read = [(graph.name, names[id(getattr(holder, name))]) for holder, name in site.readers]
            found |= dict.fromkeys(read, read[0])
    return found


def smooth(graphs: Graphs, seen: Mapping[Layer, Seen], smoothing: float) -> list[dict[Layer, Tensor]]:
    """Smooth all graphs in place, and return for each place by what the inputs of its layers were divided.

    The original model is not changed: norms and layers are replaced by new ones.

    Args:
        graphs: graphs with the observed layers.
        seen: statistics by graph and layer.
        smoothing: share of the difference between channels that moves into the weights: 0 does not change the inputs, 1
            equalises their channels.
    """
    return [done for graph in graphs for done in _smooth_graph(graph, seen, smoothing)]


def _smooth_graph(graph: Graph, seen: Mapping[Layer, Seen], smoothing: float) -> Iterator[dict[Layer, Tensor]]:
    names = {id(layer): name for name, layer in graph.module.named_modules()}
    for site in list(sites(graph.module)):
        layers = [getattr(holder, name) for holder, name in site.readers]
        keys = [(graph.name, names[id(layer)]) for layer in layers]
        if all(key in seen for key in keys):
            scale = _scale(seen[keys[0]].magnitude, layers, smoothing)
            _replace(site, scale)
            yield dict.fromkeys(keys, scale)


def _scale(channels: Tensor, readers: list[nn.Linear], smoothing: float) -> Tensor:
    weights = torch.stack([r.weight.detach().abs().amax(dim=0) for r in readers]).amax(dim=0)
    scale = channels.clamp(min=1e-5) ** smoothing / weights.clamp(min=1e-5) ** (1 - smoothing)
    scale = scale / scale.log().mean().exp()  # the overall magnitude is kept
    return scale.clamp(1e-2, 1e2)


@torch.no_grad()
def _replace(site: Site, scale: Tensor) -> None:
    holder, name = site.norm
    old = getattr(holder, name)
    norm = nn.LayerNorm(old.normalized_shape, eps=old.eps)
    norm.weight.copy_(old.weight / scale)
    norm.bias.copy_(old.bias / scale)
    setattr(holder, name, norm.eval().requires_grad_(False))
    for owner, attribute in site.readers:
        before = getattr(owner, attribute)
        layer = nn.Linear(before.in_features, before.out_features, bias=before.bias is not None, device="meta")
        layer.weight = nn.Parameter(before.weight * scale, requires_grad=False)
        layer.bias = before.bias
        setattr(owner, attribute, layer.eval().requires_grad_(False))
