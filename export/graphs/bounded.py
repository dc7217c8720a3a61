"""A graph in the form that survives half precision: inputs kept in the range that they can have, norms as one operator.

Half precision ends at 65504. A number beyond what the contract allows would become infinite, and one infinite score
makes a whole softmax NaN; and SAM's LayerNorm2d, written out, squares values that may be over 256. Neither changes what
the graph computes for an input that keeps the contract.
"""

from __future__ import annotations

import copy
from itertools import chain

import torch.nn.functional as F
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

from cgsam_edge.export.graphs.attention import FusedAttention, together
from cgsam_edge.export.graphs.build import Graph


class ChannelNorm(nn.Module):
    """segment_anything's LayerNorm2d as one layer norm over the last axis.

    Args:
        norm: the layer whose weights are used.
    """

    def __init__(self, norm: LayerNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        out = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return out.permute(0, 3, 1, 2)


class Bounded(nn.Module):
    """A graph that takes its inputs by position, clamps them to the graph's limits, and returns a tuple.

    Args:
        graph: the graph; its module is copied, its tensors are shared.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.names, self.outputs = tuple(graph.inputs), graph.outputs
        self.limits = dict(graph.limits)
        self.inner = _for_core_ml(graph.module)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Map the graph's inputs, in its order, to its outputs, in its order."""
        given = {name: self._clamped(name, x) for name, x in zip(self.names, inputs, strict=True)}
        made = self.inner(**given)
        return tuple(made[name] for name in self.outputs)

    def _clamped(self, name: str, x: Tensor) -> Tensor:
        if name not in self.limits:
            return x
        low, high = self.limits[name]
        return x.clamp(low, high)


def _for_core_ml(module: nn.Module) -> nn.Module:
    """Return a copy for Core ML; parameters and buffers are the original's.

    Its LayerNorm2d are `ChannelNorm`, and its attention takes all heads at once: a program of thousands of small
    operators takes a device long to compile.
    """
    shared = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    made = copy.deepcopy(module, shared)
    for parent in list(made.modules()):
        for name, child in parent.named_children():
            if isinstance(child, LayerNorm2d):
                setattr(parent, name, ChannelNorm(child))
            elif isinstance(child, FusedAttention) and not child.window:
                child.chunk = together(child.heads, child.side)
    return made
