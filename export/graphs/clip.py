"""CLIP-Surgery's vision tower for deployment, without parts that do not affect the output."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsam_edge.export import fusion
from cgsam_edge.export.config import SURGERY_LAYERS, ClipConfig, SimilarityNorm
from cgsam_edge.export.graphs import kernels
from cgsam_edge.export.reference.clip_surgery import normalise


class ClipAttention(nn.Module):
    """Attention of one CLIP block; the scale is folded into the query.

    Args:
        attn: open_clip's MultiheadAttention.
    """

    def __init__(self, attn: Any) -> None:
        super().__init__()
        self.heads = attn.num_heads
        self.scale = attn.head_dim**-0.5
        weight = attn.in_proj_weight.detach().double().clone()
        bias = attn.in_proj_bias.detach().double().clone()
        weight[: attn.embed_dim] *= self.scale
        bias[: attn.embed_dim] *= self.scale
        self.qkv = fusion.linear(weight, bias)
        self.proj = attn.out_proj

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scaled q, and k and v, each (1, heads, N, c), of normed tokens (1, N, C)."""
        q, k, v = self._split(x).unbind(0)
        return q, k, v

    def _split(self, x: Tensor) -> Tensor:
        out: Tensor = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # the three lie whole
        return out

    def both(self, x: Tensor) -> Tensor:
        """Return what the ordinary and the surgery path attend to, of normed tokens (1, N, C): (2, N, C).

        The ordinary path takes softmax(q kᵀ) v, the surgery path softmax(v vᵀ) v.
        """
        split = self._split(x)
        q, _, v = split.unbind(0)
        return self.join(torch.cat([q, v * self.scale]), split[1:].squeeze(1), v)

    def join(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return proj(softmax(q kᵀ) v), (B, N, C), of queries and keys (B, heads, N, c) and values of B or of all."""
        if kernels.used():
            attended = F.scaled_dot_product_attention(queries, keys, values.expand_as(keys), scale=1.0)
        else:
            attended = (queries @ keys.transpose(-2, -1)).softmax(dim=-1) @ values
        out: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return out


class ClipBlock(nn.Module):
    """One ordinary block, with only the weights that the deployed graph uses.

    Args:
        block: open_clip's ResidualAttentionBlock.
    """

    ln_1: Any
    ln_2: Any
    mlp: Any

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.attention = ClipAttention(block.attn)
        self.ln_1, self.ln_2 = block.ln_1, block.ln_2
        # a separate container: replacing a layer in it does not change the model
        self.mlp = nn.Sequential(OrderedDict(block.mlp.named_children()))

    def block_output(self, x: Tensor, attended: Tensor) -> Tensor:
        """Add what attention gave, and the MLP, to tokens (1, N, C)."""
        x = x + attended
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class ClipFeatures(nn.Module):
    """F of the contract from CLIP's pixels.

    The surgery path reads the ordinary path, and nothing reads its class token, which is left out; the ordinary path
    ends with only the class token.

    Args:
        visual: open_clip's VisionTransformer.
        config: sizes of CLIP.
        norm: axis of the feature norm.

    Attributes:
        together: whether both paths attend at once, with a row for the class token in either: engines that give each
            head to a thread then have twice as many to share.
    """

    blocks: Any  # a ModuleList of ClipBlock
    conv: Any
    ln_pre: Any
    ln_post: Any
    proj: Any

    def __init__(self, visual: Any, config: ClipConfig, norm: SimilarityNorm) -> None:
        super().__init__()
        self.norm: SimilarityNorm = norm
        self.norm_scale = config.norm_scale
        self.conv = visual.conv1
        positions = visual.positional_embedding.detach()
        self.class_token = nn.Parameter(
            (visual.class_embedding + positions[0])[None, None].detach(), requires_grad=False
        )
        self.positions = nn.Parameter(positions[None, 1:].clone(), requires_grad=False)
        self.ln_pre, self.ln_post, self.proj = visual.ln_pre, visual.ln_post, visual.proj
        self.blocks = nn.ModuleList(ClipBlock(block) for block in visual.transformer.resblocks)
        self.first_surgery = config.layers - SURGERY_LAYERS
        self.together = False

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised pixels (1, 3, s, s) to (1, 1 + M, D)."""
        patches = self.conv(pixels).flatten(2).transpose(1, 2) + self.positions
        x = self.ln_pre(torch.cat([self.class_token, patches], dim=1))
        last = len(self.blocks) - 1
        for i, block in enumerate(self.blocks):
            attention, normed = block.attention, block.ln_1(x)
            if i == self.first_surgery:
                surgery = x if self.together else x[:, 1:]
            if self.together and self.first_surgery <= i < last:
                attended, of_surgery = attention.both(normed).split(1)
                surgery = surgery + of_surgery
                x = block.block_output(x, attended)
                continue
            q, k, v = attention.split(normed)
            if i >= self.first_surgery:
                surgery = surgery[:, 1:] if self.together else surgery
                surgery = surgery + attention.join(v[:, :, 1:] * attention.scale, v, v)
            if i == last:
                x, q = x[:, :1], q[:, :, :1]
            x = block.block_output(x, attention.join(q, k, v))
        embedding = self.ln_post(torch.cat([x, surgery], dim=1)) @ self.proj
        return normalise(embedding, self.norm, self.norm_scale)
