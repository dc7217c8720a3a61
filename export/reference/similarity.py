"""From image and text features to the similarity map and the dense prompt, in PyTorch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def similarity(features: Tensor, text: Tensor) -> Tensor:
    """S = F t over all tokens: (B, 1 + M, D) and (B, D) to (B, 1 + M)."""
    return (features @ text.unsqueeze(-1)).squeeze(-1)


def similarity_map(scores: Tensor, size: int) -> Tensor:
    """Min-max normalise s (B, 1 + M) over the patches and interpolate to (B, 1, size, size), in [0, 1]."""
    patches = scores[:, 1:]
    low, high = patches.amin(dim=1, keepdim=True), patches.amax(dim=1, keepdim=True)
    side = round(patches.shape[1] ** 0.5)
    image = ((patches - low) / (high - low)).unflatten(1, (1, side, side))
    return F.interpolate(image, (size, size), mode="bilinear", align_corners=False)


def dense_prompt(full_map: Tensor, size: int, threshold: float, value: float) -> Tensor:
    """Interpolate the map (B, 1, S, S) again to (B, 1, size, size), and set ``value`` where it is > ``threshold``."""
    small = F.interpolate(full_map, (size, size), mode="bilinear", align_corners=False)
    return (small > threshold).to(full_map.dtype) * value
