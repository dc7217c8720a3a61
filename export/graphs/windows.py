"""Splitting an image's tokens into square windows, and joining them; windows beyond the border contain a filler."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Windows(nn.Module):
    """Windows gathered by index: one copy in each direction.

    Args:
        grid: tokens on a side of the image.
        side: tokens on a side of a window.
    """

    order: Tensor
    back: Tensor

    def __init__(self, grid: int, side: int) -> None:
        super().__init__()
        self.side, self.filled = side, grid % side != 0
        count = -(-grid // side)
        places = torch.full((count * side, count * side), grid * grid)
        places[:grid, :grid] = torch.arange(grid * grid).reshape(grid, grid)
        order = places.reshape(count, side, count, side).transpose(1, 2).flatten()
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort(stable=True)[: grid * grid])

    def part(self, tokens: Tensor, filler: Tensor) -> Tensor:
        """Map tokens (B, N, C) and the filler (C,) to windows (B·windows, side, side, C)."""
        if self.filled:
            tokens = torch.cat([tokens, filler.expand(tokens.shape[0], 1, -1)], dim=1)
        return tokens.index_select(1, self.order).reshape(-1, self.side, self.side, tokens.shape[-1])

    def join(self, windows: Tensor, batch: int) -> Tensor:
        """Map windows (B·windows, side, side, C) to tokens (B, N, C)."""
        return windows.reshape(batch, -1, windows.shape[-1]).index_select(1, self.back)


class PaddedWindows(nn.Module):
    """The same by padding and moving axes, for devices whose gather may be slow.

    Args:
        grid: tokens on a side of the image.
        side: tokens on a side of a window.
    """

    def __init__(self, grid: int, side: int) -> None:
        super().__init__()
        self.grid, self.side, self.count = grid, side, -(-grid // side)

    def part(self, tokens: Tensor, filler: Tensor) -> Tensor:
        """Same mapping as `Windows.part`."""
        batch, grid, side, count = tokens.shape[0], self.grid, self.side, self.count
        x: Tensor = tokens.unflatten(1, (grid, grid))
        missing = count * side - grid
        if missing:
            x = torch.cat([x, filler.expand(batch, missing, grid, -1)], dim=1)
            x = torch.cat([x, filler.expand(batch, count * side, missing, -1)], dim=2)
        windows = x.reshape(batch * count, side, count, side, -1).transpose(1, 2)
        return windows.reshape(-1, side, side, x.shape[-1])

    def join(self, windows: Tensor, batch: int) -> Tensor:
        """Same mapping as `Windows.join`."""
        side, count, grid = self.side, self.count, self.grid
        rows = windows.reshape(batch * count, count, side, side, -1).transpose(1, 2)
        return rows.reshape(batch, count * side, count * side, -1)[:, :grid, :grid].flatten(1, 2)
