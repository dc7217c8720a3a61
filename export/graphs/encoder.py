"""The fused blocks of SAM's image encoder, and their split into an image part and a concept part."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cgsam_edge.export import fusion
from cgsam_edge.export.config import SamConfig
from cgsam_edge.export.graphs.attention import FusedAttention
from cgsam_edge.export.reference.adapters import SemanticAdapter
from cgsam_edge.export.reference.image_encoder import Block


class FusedBlock(nn.Module):
    """A block that does not depend on the concept; a plain adapter is part of its MLP.

    Args:
        block: the reference block.
        config: sizes of SAM.
    """

    def __init__(self, block: Block, config: SamConfig) -> None:
        super().__init__()
        self.attention = FusedAttention(block, config)
        self.norm = block.norm2
        self.lin1, self.lin2 = block.mlp.lin1, block.mlp.lin2
        if block.MLP_Adapter is not None:
            self.lin1, self.lin2 = fusion.fuse_plain_adapter(self.lin1, self.lin2, block.MLP_Adapter)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (1, N, C) to tokens."""
        x = x + self.attention(x)
        out: Tensor = x + self.lin2(F.gelu(self.lin1(self.norm(x))))
        return out


class SemanticBlock(nn.Module):
    """A block that depends on the concept, in two halves.

    ``prepare`` is independent of the concept and contains all but the adapter's second half, which `add_adapter`
    computes. The adapter stays separate from the MLP: adding a condition to r of 4C + r hidden channels would copy all
    of them.

    Args:
        block: the reference block, with a SemanticAdapter.
        config: sizes of SAM.
    """

    def __init__(self, block: Block, config: SamConfig) -> None:
        super().__init__()
        assert isinstance(block.MLP_Adapter, SemanticAdapter)
        parts = fusion.fuse_semantic_adapter(block.mlp.lin2, block.MLP_Adapter)
        self.attention = FusedAttention(block, config)
        self.norm = block.norm2
        self.lin1, self.lin2 = block.mlp.lin1, parts.lin2
        self.down, self.up = parts.down, parts.up

    def prepare(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map tokens (1, N, C) to tokens after attention and MLP, and the adapter's hidden part (1, N, r)."""
        x = x + self.attention(x)
        u = self.norm(x)
        return x + self.lin2(F.gelu(self.lin1(u))), self.down(u)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map tokens (1, N, C) to tokens."""
        x, hidden = self.prepare(x)
        return add_adapter(x, hidden, condition, self.up)


def add_adapter(x: Tensor, hidden: Tensor, condition: Tensor, up: nn.Module) -> Tensor:
    """Finish a semantic block: tokens, hidden part (1, N, r) and condition (B, N or 1, r) to tokens."""
    out: Tensor = x + up(F.gelu(hidden + condition))
    return out


def fuse_block(block: Block, config: SamConfig) -> FusedBlock | SemanticBlock:
    """Return the fused form of a reference block."""
    kind = SemanticBlock if isinstance(block.MLP_Adapter, SemanticAdapter) else FusedBlock
    return kind(block, config)
