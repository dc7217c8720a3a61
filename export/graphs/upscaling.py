"""The decoder's upscaling of the image as products: its transposed convolutions never overlap."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class Upscaling(nn.Module):
    """segment_anything's ``output_upscaling`` and the product with a mask's vector, moving only the finished logits.

    Each transposed convolution has kernels of two by two pixels, two apart, so it maps one token to four, and the norm
    between them is of single tokens. Tokens stay in the order of the image's, and the sixteen logits of each are put in
    their places at the end.

    Args:
        upscaling: the layers whose weights are used.
    """

    def __init__(self, upscaling: Any) -> None:
        super().__init__()
        first, self.norm, _, second, _ = upscaling
        self.first, self.second = _product(first), _product(second)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Map image tokens (1, N, C), row by row of a square, and a mask's vector (1, c) to logits (1, 1, 4g, 4g)."""
        norm = self.norm
        fourths = self.first(image).unflatten(-1, (4, -1)).flatten(1, 2)
        fourths = F.gelu(F.layer_norm(fourths, norm.weight.shape, norm.weight, norm.bias, norm.eps))
        parts = F.gelu(self.second(fourths)).unflatten(-1, (4, -1)).flatten(1, 2)
        logits = parts @ mask.unsqueeze(-1)
        grid = round(image.shape[1] ** 0.5)
        ordered = logits.reshape(grid * grid, 2, 2, 2, 2).transpose(2, 3)  # both rows, then both columns
        out: Tensor = ordered.reshape(grid, grid, 4, 4).transpose(1, 2).reshape(1, 1, 4 * grid, 4 * grid)
        return out


def _product(layer: nn.ConvTranspose2d) -> nn.Linear:
    """Return the layer from one token to the (row, column, channel) of four."""
    made = nn.Linear(layer.in_channels, 4 * layer.out_channels, device="meta")
    weight = layer.weight.detach().permute(2, 3, 1, 0)
    assert layer.bias is not None
    made.weight = nn.Parameter(weight.reshape(-1, layer.in_channels).contiguous(), requires_grad=False)
    made.bias = nn.Parameter(layer.bias.detach().repeat(4), requires_grad=False)
    return made
