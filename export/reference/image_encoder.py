"""SAM's image encoder with upstream's adapters, built on segment_anything's layers."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from segment_anything.modeling.common import LayerNorm2d, MLPBlock
from segment_anything.modeling.image_encoder import Attention, PatchEmbed, window_partition, window_unpartition
from torch import Tensor, nn

from cgsam_edge.export.config import BlockConfig, SamConfig
from cgsam_edge.export.reference.adapters import Adapter, SemanticAdapter

_norm = partial(nn.LayerNorm, eps=1e-6)


def _mlp_adapter(config: SamConfig, block: BlockConfig, embed_dim: int) -> Adapter | None:
    if not block.mlp_adapter:
        return None
    if not block.semantic:
        return Adapter(config.width, config.mlp_adapter_width)
    return SemanticAdapter(config.width, config.mlp_adapter_width, embed_dim, text=block.text, vision=block.vision)


class Block(nn.Module):
    """A transformer block: windowed or global attention, MLP, and up to two adapters.

    Args:
        config: sizes of the encoder.
        block: what this block has.
        embed_dim: channels of CLIP's embeddings.
    """

    def __init__(self, config: SamConfig, block: BlockConfig, embed_dim: int) -> None:
        super().__init__()
        side = block.window or config.grid
        self.window = block.window
        self.pad_before_norm = config.pad_before_norm
        self.norm1 = _norm(config.width)
        self.attn = Attention(config.width, config.heads, use_rel_pos=True, input_size=(side, side))
        self.norm2 = _norm(config.width)
        self.mlp = MLPBlock(config.width, config.mlp_width)
        self.Space_Adapter = Adapter(config.width, config.space_adapter_width) if block.space_adapter else None
        self.MLP_Adapter = _mlp_adapter(config, block, embed_dim)

    def forward(self, x: Tensor, text: Tensor | None = None, patches: Tensor | None = None) -> Tensor:
        """Map tokens (B, H, W, C), text feature (B, D) and F_p + s_p (B, M, D) to tokens of the same shape."""
        x = x + self.attend(x)
        u = self.norm2(x)
        x = x + self.mlp(u)
        if isinstance(self.MLP_Adapter, SemanticAdapter):
            x = x + 0.5 * self.MLP_Adapter(u, text, patches)
        elif self.MLP_Adapter is not None:
            x = x + 0.5 * self.MLP_Adapter(u)
        return x

    def attend(self, x: Tensor) -> Tensor:
        """Return the attention branch, adapter included, before the residual sum."""
        size = (x.shape[1], x.shape[2])
        if not self.window:
            return self._adapt_space(self.attn(self.norm1(x)))
        if self.pad_before_norm:
            y, padded = window_partition(x, self.window)
            y = self.norm1(y)
        else:
            y, padded = window_partition(self.norm1(x), self.window)
        y = self._adapt_space(self.attn(y))
        out: Tensor = window_unpartition(y, self.window, padded, size)
        return out

    def _adapt_space(self, y: Tensor) -> Tensor:
        if self.Space_Adapter is None:
            return y
        out: Tensor = y + 0.5 * (y + self.Space_Adapter(y))
        return out


class ImageEncoder(nn.Module):
    """From normalised pixels to SAM's image embedding, conditioned on a concept.

    Args:
        config: sizes of SAM.
        embed_dim: channels of CLIP's embeddings.
    """

    blocks: Any  # a ModuleList of Block

    def __init__(self, config: SamConfig, embed_dim: int) -> None:
        super().__init__()
        self.shared = frozenset(config.semantic_blocks[: config.shared_blocks])
        kernel = (config.patch_size, config.patch_size)
        self.patch_embed = PatchEmbed(kernel_size=kernel, stride=kernel, in_chans=3, embed_dim=config.width)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.grid, config.grid, config.width))
        self.blocks = nn.ModuleList(Block(config, block, embed_dim) for block in config.blocks)
        self.neck = nn.Sequential(
            nn.Conv2d(config.width, config.prompt_width, kernel_size=1, bias=False),
            LayerNorm2d(config.prompt_width),
            nn.Conv2d(config.prompt_width, config.prompt_width, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(config.prompt_width),
        )

    def forward(
        self,
        pixels: Tensor,
        text: Tensor | None = None,
        patches: Tensor | None = None,
        shared: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the embedding (B, 256, grid, grid).

        Args:
            pixels: (B, 3, S, S).
            text: t (B, D).
            patches: F_p + s_p (B, M, D).
            shared: what blocks take instead whose condition all concepts share: texts (1, N, D) and F_p (B, M, D).
        """
        x = self.patch_embed(pixels) + self.pos_embed
        for i, block in enumerate(self.blocks):
            x = block(x, *shared) if shared is not None and i in self.shared else block(x, text, patches)
        out: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return out
