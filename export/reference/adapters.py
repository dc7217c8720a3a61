"""The adapters that upstream adds to each block of SAM's image encoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Adapter(nn.Module):
    """Bottleneck A(u) = D_fc2(GELU(D_fc1(u))), without a skip connection.

    Args:
        width: channels of the input and of the output.
        hidden: channels between the two layers.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.D_fc1 = nn.Linear(width, hidden)
        self.D_fc2 = nn.Linear(hidden, width)

    def forward(self, u: Tensor) -> Tensor:
        """Map (..., width) to (..., width)."""
        out: Tensor = self.D_fc2(F.gelu(self.D_fc1(u)))
        return out


class SemanticAdapter(Adapter):
    """An adapter that adds projections of CLIP's text and vision features to its input.

    Args:
        width: channels of the tokens.
        hidden: channels of the bottleneck.
        embed_dim: channels of CLIP's embeddings.
        text: whether it takes a text feature.
        vision: whether it takes patch features.
    """

    def __init__(self, width: int, hidden: int, embed_dim: int, *, text: bool, vision: bool) -> None:
        super().__init__(width, hidden)
        self.text_projection = nn.Linear(embed_dim, width) if text else None
        self.vis_projection = nn.Linear(embed_dim, width) if vision else None

    def project_text(self, text: Tensor) -> Tensor:
        """T of the contract: (B, D) to (B, width); of several texts (B, N, D), their mean."""
        assert self.text_projection is not None
        projected = F.gelu(self.text_projection(text))
        return projected.mean(dim=1) if projected.ndim == 3 else projected  # (B, N, width)

    def project_vision(self, patches: Tensor, grid: int) -> Tensor:
        """U of the contract: (B, M, D), the similarity already added, to (B, grid, grid, width)."""
        assert self.vis_projection is not None
        projected = self.vis_projection(patches)
        side = round(projected.shape[1] ** 0.5)
        image = projected.transpose(1, 2).unflatten(2, (side, side))
        return F.interpolate(image, (grid, grid), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)

    def forward(self, u: Tensor, text: Tensor | None = None, patches: Tensor | None = None) -> Tensor:
        """Map tokens u (B, H, W, width), with t (B, D) or (B, N, D) and F_p + s_p (B, M, D), to (B, H, W, width)."""
        if self.text_projection is not None and text is not None:
            u = u + self.project_text(text)[:, None, None, :]
        if self.vis_projection is not None and patches is not None:
            u = u + self.project_vision(patches, u.shape[1])
        return super().forward(u)


def conditioning(features: Tensor, similarity: Tensor) -> Tensor:
    """Return F_p + s_p: patch features (B, 1 + M, D) and similarity (B, 1 + M) to (B, M, D), class token dropped."""
    return features[:, 1:] + torch.unsqueeze(similarity[:, 1:], -1)
