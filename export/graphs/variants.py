"""Variants of a graph for one engine: copies of its module that share its tensors."""

from __future__ import annotations

import copy
from itertools import chain

import torch.nn.functional as F
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

from cgsam_edge.export.graphs.attention import FusedAttention, by_head, together
from cgsam_edge.export.graphs.clip import ClipFeatures
from cgsam_edge.export.graphs.model import ImageGraph
from cgsam_edge.export.graphs.relative import RelativePositions
from cgsam_edge.export.graphs.windows import PaddedWindows, Windows

_GATHERED_SIDE = 32
"""Largest side of squares whose relative positions are gathered. Of 64 that takes longer than a table for each row, and
of padded windows of 14 it gains nothing."""


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


class PatchesInPlace(nn.Module):
    """The patch embedding on pixels as they lie in memory: the columns of a patch are the channels.

    As a convolution of three channels, OpenVINO's CPU reorders all pixels, and computes at two thirds of the rate.

    Args:
        conv: the embedding, of square patches without padding.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.patch = side = conv.kernel_size[0]
        size = (conv.in_channels, side, 1)
        self.proj = nn.Conv3d(side, conv.out_channels, size, stride=(1, side, 1), bias=False, device="meta")
        self.proj.weight = nn.Parameter(conv.weight.detach().permute(0, 3, 1, 2).unsqueeze(-1), requires_grad=False)
        self.proj.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, rows of patches, columns of patches, channels)."""
        columns = x.unflatten(3, (-1, self.patch)).permute(0, 4, 1, 2, 3)  # the order in which they lie already
        made: Tensor = self.proj(columns)
        return made.permute(0, 2, 3, 4, 1).flatten(1, 2)


def for_core_ml(module: nn.Module) -> nn.Module:
    """Return a copy for Core ML.

    Its LayerNorm2d are `ChannelNorm`, its windows are `PaddedWindows`, and its attention takes all heads at once: a
    device takes long to compile a program of thousands of small operators.
    """
    made = _copied(module)
    for parent in list(made.modules()):
        for name, child in parent.named_children():
            if isinstance(child, LayerNorm2d):
                setattr(parent, name, ChannelNorm(child))
            elif isinstance(child, FusedAttention) and child.windows is None:
                child.chunk = together(child.heads, child.side)
            elif isinstance(child, FusedAttention) and isinstance(child.windows, Windows):
                child.windows = PaddedWindows(child.grid, child.side)
    return made


def for_openvino(module: nn.Module) -> nn.Module:
    """Return a copy of a graph for OpenVINO, or the module itself if nothing in it has another form there.

    OpenVINO's attention kernel never writes the scores, and each chunk costs about a megabyte and compile time, so
    global attention takes one head at a time with all its queries. The encoder's patches are `PatchesInPlace`, and its
    relative positions are `RelativePositions`, but in large squares and in windows that are padded. Both paths of CLIP
    attend at once: threads share heads, and three heads on two threads take as long as four.
    """
    if not any(isinstance(one, (FusedAttention, ImageGraph, ClipFeatures)) for one in module.modules()):
        return module
    made = _copied(module)
    for one in list(made.modules()):
        if isinstance(one, ImageGraph):
            one.patch_embed = PatchesInPlace(one.patch_embed.proj)
        elif isinstance(one, ClipFeatures):
            one.together = True
        elif isinstance(one, FusedAttention):
            if one.side <= _GATHERED_SIDE and one.grid % one.side == 0:
                one.relative = RelativePositions(one.table_h, one.table_w)
            if one.windows is None:
                one.chunk = by_head(one.side)
    return made


def _copied(module: nn.Module) -> nn.Module:
    """Return a copy that shares parameters and buffers with the original."""
    shared = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    return copy.deepcopy(module, shared)
