"""The exact identities with which upstream's adapters are folded into SAM's weights.

Each function takes layers of the reference model and returns weights of the fused one. Products of weights are formed
in float64 and rounded once. With C the width, r the adapter's, D CLIP's embedding, A(u) = W2 GELU(W1 u + b1) + b2:

- space adapter after the attention projection P:   y + (y + A(y)) / 2 = S(o)[:C] + up GELU(S(o)[C:])
- MLP adapter beside the MLP, nothing added to u:   one MLP of hidden width 4C + r
- text: W1 T is a vector of r numbers per block and concept: a row of the concept's table
- vision: W1 interpolate(Wv F) = interpolate((W1 Wv) F): one (r, D) matrix a block, stacked over the blocks
- similarity, added to all D channels: s · (row sums of W1 Wv)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsam_edge.export.reference.adapters import Adapter, SemanticAdapter


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a float32 linear layer that holds ``weight`` (out, in) and ``bias`` (out,)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.to(torch.float32).contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.to(torch.float32).contiguous(), requires_grad=False)
    return layer


def wide(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a layer in float64; a missing bias as zeros."""
    weight = layer.weight.detach().double()
    bias = layer.bias.detach().double() if layer.bias is not None else weight.new_zeros(weight.shape[0])
    return weight, bias


def fuse_space_adapter(proj: nn.Linear, adapter: Adapter) -> tuple[nn.Linear, nn.Linear]:
    """Fold the space adapter into the attention's output projection.

    Returns:
        The stacked projection S (C + r, C) and the up-projection (C, r) without bias, such that
        1.5 P(o) + 0.5 A(P(o)) = S(o)[:C] + up(GELU(S(o)[C:])).
    """
    p, bp = wide(proj)
    w1, b1 = wide(adapter.D_fc1)
    w2, b2 = wide(adapter.D_fc2)
    stacked = linear(torch.cat([1.5 * p, w1 @ p]), torch.cat([1.5 * bp + 0.5 * b2, w1 @ bp + b1]))
    return stacked, linear(0.5 * w2, None)


def fuse_plain_adapter(lin1: nn.Linear, lin2: nn.Linear, adapter: Adapter) -> tuple[nn.Linear, nn.Linear]:
    """Fold an adapter that shares the MLP's input into the MLP: hidden width 4C + r, half the adapter's output."""
    m1, c1 = wide(lin1)
    m2, c2 = wide(lin2)
    w1, b1 = wide(adapter.D_fc1)
    w2, b2 = wide(adapter.D_fc2)
    return linear(torch.cat([m1, w1]), torch.cat([c1, b1])), linear(torch.cat([m2, 0.5 * w2], dim=1), c2 + 0.5 * b2)


@dataclass(frozen=True)
class SemanticParts:
    """A semantic adapter, taken apart: MLP(u) + A(u + T + U) / 2 = lin2'(GELU(lin1 u)) + up GELU(down(u) + condition).

    Attributes:
        down: (r, C), its bias includes the constant part of the vision projection.
        up: (C, r), halved, without bias.
        lin2: the MLP's second layer with the same weight, its bias includes half the adapter's.
        vision: (r, D), the product W1 Wv, or None without a vision projection.
    """

    down: nn.Linear
    up: nn.Linear
    lin2: nn.Linear
    vision: Tensor | None


def fuse_semantic_adapter(lin2: nn.Linear, adapter: SemanticAdapter) -> SemanticParts:
    """Take a semantic adapter apart; the condition is the table row plus interpolate(vision F + s · row sums)."""
    w1, b1 = wide(adapter.D_fc1)
    w2, b2 = wide(adapter.D_fc2)
    _, c2 = wide(lin2)
    vision = None
    if adapter.vis_projection is not None:
        wv, bv = wide(adapter.vis_projection)
        vision = (w1 @ wv).float()
        b1 = b1 + w1 @ bv  # interpolation preserves constants
    return SemanticParts(linear(w1, b1), linear(0.5 * w2, None), linear(lin2.weight.detach(), c2 + 0.5 * b2), vision)


@torch.no_grad()
def text_row(adapter: SemanticAdapter, text: Tensor) -> Tensor:
    """Return W1 GELU(text_projection(t)), the text's contribution to the adapter's hidden layer: t (N, D) to (N, r)."""
    assert adapter.text_projection is not None
    wt, bt = wide(adapter.text_projection)
    w1, _ = wide(adapter.D_fc1)
    return (F.gelu(text.double() @ wt.T + bt) @ w1.T).float()


def window_padding(norm: nn.LayerNorm, qkv: nn.Linear, *, before_norm: bool) -> Tensor:
    """Return the constant (3C,) that window padding becomes after qkv.

    Upstream pads before the norm, so padding is LN(0) = the norm's bias; segment_anything pads after it, with zeros.
    """
    weight, bias = wide(qkv)
    return (weight @ norm.bias.detach().double() + bias if before_norm else bias).float()
