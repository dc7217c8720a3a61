"""CLIP-Surgery on open_clip's vision transformer: the two-path forward pass."""

from __future__ import annotations

from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from cgsam_edge.export.config import SURGERY_LAYERS, ClipConfig, SimilarityNorm


def build_clip(config: ClipConfig) -> Any:
    """Return an untrained open_clip model of the given sizes, activation and heads."""
    return open_clip.model.CLIP(
        embed_dim=config.embed_dim,
        vision_cfg=open_clip.CLIPVisionCfg(
            layers=config.layers,
            width=config.width,
            head_width=config.head_width,
            mlp_ratio=(config.mlp_width + 0.5) / config.width,  # open_clip truncates the product to an integer
            patch_size=config.patch_size,
            image_size=config.image_size,
        ),
        text_cfg=open_clip.CLIPTextCfg(
            context_length=config.context_length,
            vocab_size=config.vocab_size,
            width=config.text_width,
            heads=config.heads[1],
            layers=config.text_layers,
        ),
        quick_gelu=config.activation == "quickgelu",
    )


def _heads(x: Tensor, heads: int) -> Tensor:
    split: Tensor = x.unflatten(-1, (heads, -1))
    return split.transpose(1, 2)


def _attend(block: Any, x: Tensor, *, surgery: bool) -> tuple[Tensor, Tensor | None]:
    """Return the ordinary attention of ``block`` on x (B, N, C) and, if asked, the v-v attention of CLIP-Surgery."""
    attn = block.attn
    heads: int = attn.num_heads
    q, k, v = (_heads(part, heads) for part in F.linear(x, attn.in_proj_weight, attn.in_proj_bias).chunk(3, dim=-1))
    scale = q.shape[-1] ** -0.5

    def weighted(a: Tensor, b: Tensor) -> Tensor:
        weights = (a @ b.transpose(-2, -1) * scale).softmax(dim=-1)
        out: Tensor = attn.out_proj((weights @ v).transpose(1, 2).flatten(2))
        return out

    return weighted(q, k), weighted(v, v) if surgery else None


def embed_image(visual: Any, pixels: Tensor, positions: Tensor | None = None) -> Tensor:
    """Compute E of the contract.

    Args:
        visual: open_clip's VisionTransformer.
        pixels: (B, 3, S, S), normalised, S the side that the position table is made for.
        positions: another position table (1 + M, width), for pixels of another side.

    Returns:
        (B, 1 + M, D): the class token of the ordinary path, the patches of the surgery path.
    """
    x = visual.conv1(pixels).flatten(2).transpose(1, 2)
    table = visual.positional_embedding if positions is None else positions
    x = torch.cat([visual.class_embedding.expand(x.shape[0], 1, -1), x], dim=1) + table
    ori = visual.ln_pre(x)
    new: Tensor | None = None
    blocks = list(visual.transformer.resblocks)
    for i, block in enumerate(blocks):
        surgery = i >= len(blocks) - SURGERY_LAYERS
        if surgery and new is None:
            new = ori
        ordinary, vv = _attend(block, block.ln_1(ori), surgery=surgery)
        if new is not None and vv is not None:
            new = new + vv
        ori = ori + ordinary
        ori = ori + block.mlp(block.ln_2(ori))
    assert new is not None
    joined = torch.cat([ori[:, :1], new[:, 1:]], dim=1)
    out: Tensor = visual.ln_post(joined) @ visual.proj
    return out


def normalise(embedding: Tensor, axis: SimilarityNorm, scale: float = 1.0) -> Tensor:
    """F = E / |E| of (B, 1 + M, D), the norm over the tokens (upstream's code) or the channels (the paper).

    A norm over the tokens is multiplied by ``scale``, see `ClipConfig`.
    """
    length: Tensor = embedding.norm(dim=1 if axis == "tokens" else -1, keepdim=True)
    return embedding / (length if axis == "channels" or scale == 1 else length * scale)


def clip_pixels(pixels: Tensor, size: int) -> Tensor:
    """Resize SAM's normalised pixels (B, 3, S, S) to CLIP's side as upstream does: bilinear, not antialiased."""
    return F.interpolate(pixels, (size, size), mode="bilinear", align_corners=False)
