"""CLIP's text encoder and the text half of the semantic adapters, for concepts that are added after the export."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsam_edge.export import fusion
from cgsam_edge.export.graphs.clip import ClipBlock
from cgsam_edge.export.graphs.model import semantic_adapters
from cgsam_edge.export.reference import ReferenceModel

START = 49406
"""CLIP's start token; the end token is the next number."""


class TextGraph(nn.Module):
    """Tokens to CLIP's text embedding, not normalised, as in upstream's ``encode_text``.

    Args:
        clip: open_clip's CLIP.
    """

    embedding: Any
    ln_final: Any
    projection: Any
    blocks: Any  # a ModuleList of ClipBlock

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.embedding, self.ln_final = clip.token_embedding, clip.ln_final
        self.projection = clip.text_projection
        self.positions = nn.Parameter(clip.positional_embedding.detach()[None], requires_grad=False)
        self.blocks = nn.ModuleList(ClipBlock(block) for block in clip.transformer.resblocks)
        self.register_buffer("mask", torch.full((clip.context_length,) * 2, _MASKED).triu(1))
        self.mask: Tensor

    def forward(self, token_ids: Tensor, end: Tensor) -> dict[str, Tensor]:
        """Map tokens to ``text_embedding`` (1, D).

        Args:
            token_ids: (1, 2, L), each token's number divided by 256, and the remainder, because FP16 cannot represent
                large integers.
            end: (1, L), 1 at the end token, else 0.
        """
        high, low = token_ids.long().unbind(dim=1)
        x = self.embedding(256 * high + low) + self.positions
        for block in self.blocks:
            attention = block.attention
            q, k, v = attention.split(block.ln_1(x))
            weights = (q @ k.transpose(-2, -1) + self.mask).softmax(dim=-1)
            x = x + attention.proj((weights @ v).transpose(1, 2).flatten(2))
            x = x + block.mlp(block.ln_2(x))
        return {"text_embedding": (end.unsqueeze(1) @ self.ln_final(x)).squeeze(1) @ self.projection}


_MASKED = -1e4
"""Replaces minus infinity, which FP16 and quantisers do not handle; its exponential is 0 in float32 and in FP16."""


class TextRowGraph(nn.Module):
    """A text feature to the concept's row of the table: W1 GELU(text_projection(t)) for each block that takes text.

    Args:
        model: a model that has such blocks.
    """

    def __init__(self, model: ReferenceModel) -> None:
        super().__init__()
        self.projections, self.reductions = nn.ModuleList(), nn.ModuleList()
        for adapter in semantic_adapters(model):
            if adapter.text_projection is not None:
                self.projections.append(adapter.text_projection)
                self.reductions.append(fusion.linear(adapter.D_fc1.weight, None))

    def forward(self, text: Tensor) -> dict[str, Tensor]:
        """Map t (1, D) to ``text_row`` (1, n, r)."""
        pairs = zip(self.projections, self.reductions, strict=True)
        return {"text_row": torch.stack([down(F.gelu(up(text))) for up, down in pairs], dim=1)}
