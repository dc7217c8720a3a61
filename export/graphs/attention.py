"""SAM's attention with constants gathered at export, never holding all scores of a global block at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.modeling.image_encoder import get_rel_pos
from torch import Tensor, nn

from cgsam_edge.export import fusion
from cgsam_edge.export.config import SamConfig
from cgsam_edge.export.reference.image_encoder import Block

_SCORE_BYTES = 64 * 2**20
"""Upper bound of one chunk of attention scores: the fastest size tried, a little over a big last-level cache."""


def query_rows(heads: int, side: int) -> int:
    """Return how many of the ``side`` rows of queries a chunk takes: a divisor whose scores fit the bound."""
    row_bytes = 4 * heads * side**3
    return max(n for n in range(1, side + 1) if side % n == 0 and (n == 1 or n * row_bytes <= _SCORE_BYTES))


class FusedAttention(nn.Module):
    """Norm, attention and space adapter of one block, before the residual sum.

    The query's scale is folded into the qkv weights; window padding enters after qkv, as the constant it is.

    Args:
        block: the reference block.
        config: sizes of SAM.
    """

    table_h: Tensor
    table_w: Tensor
    padding: Tensor

    def __init__(self, block: Block, config: SamConfig) -> None:
        super().__init__()
        attn = block.attn
        self.window, self.heads, self.width = block.window, config.heads, config.width
        self.side = block.window or config.grid
        self.rows = self.side if self.window else query_rows(self.heads, self.side)
        self.norm = block.norm1
        scale = config.head_width**-0.5
        weight, bias = fusion.wide(attn.qkv)
        factor = torch.ones(3 * self.width, dtype=torch.float64)
        factor[: self.width] = scale
        self.qkv = fusion.linear(weight * factor[:, None], bias * factor)
        padding = fusion.window_padding(block.norm1, attn.qkv, before_norm=block.pad_before_norm)
        self.register_buffer("padding", padding * factor.float())
        for axis in "hw":
            table = get_rel_pos(self.side, self.side, getattr(attn, f"rel_pos_{axis}"))
            self.register_buffer(f"table_{axis}", (table / scale).transpose(1, 2).contiguous())  # (query, c, key)
        if block.Space_Adapter is None:
            self.proj, self.up = attn.proj, None
        else:
            self.proj, self.up = fusion.fuse_space_adapter(attn.proj, block.Space_Adapter)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (1, H, W, C) to the attention branch of the same shape."""
        qkv = self.qkv(self.norm(x))
        y: Tensor = self.proj(self._windowed(qkv) if self.window else self._attend(qkv))
        if self.up is None:
            return y
        main, hidden = y.split([self.width, y.shape[-1] - self.width], dim=-1)
        out: Tensor = main + self.up(F.gelu(hidden))
        return out

    def _windowed(self, qkv: Tensor) -> Tensor:
        """Attend within windows: (1, H, H, 3C) to (1, H, H, C)."""
        grid, side = qkv.shape[1], self.side
        count = -(-grid // side)
        missing = count * side - grid
        if missing:
            qkv = torch.cat([qkv, self.padding.expand(1, missing, grid, -1)], dim=1)
            qkv = torch.cat([qkv, self.padding.expand(1, count * side, missing, -1)], dim=2)
        windows = qkv.reshape(count, side, count, side, -1).transpose(1, 2).reshape(count * count, side, side, -1)
        out = self._attend(windows).reshape(count, count, side, side, -1).transpose(1, 2)
        return out.reshape(1, count * side, count * side, -1)[:, :grid, :grid]

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attend over squares of tokens: (B, side, side, 3C) to (B, side, side, C)."""
        batch, side, heads = qkv.shape[0], self.side, self.heads
        split = qkv.reshape(batch, side * side, 3, heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = (part.reshape(batch * heads, side * side, -1) for part in split.unbind(0))
        k = k.transpose(1, 2)
        rows = self.rows
        grid = q.reshape(batch * heads, side, side, -1)
        out = [self._chunk(grid[:, i : i + rows], k, v, self.table_h[i : i + rows]) for i in range(0, side, rows)]
        joined = torch.cat(out, dim=1) if len(out) > 1 else out[0]
        return joined.reshape(batch, heads, side, side, -1).permute(0, 2, 3, 1, 4).reshape(batch, side, side, -1)

    def _chunk(self, q: Tensor, k: Tensor, v: Tensor, table_h: Tensor) -> Tensor:
        """Attend from some rows of queries (B, rows, side, c) to all keys (B, c, side²): (B, rows·side, c)."""
        batch, rows, side, _ = q.shape
        bias_h = q @ table_h  # (B, rows, side, side), by the query's row
        bias_w = (q.transpose(1, 2) @ self.table_w).transpose(1, 2)  # the same by its column
        scores = (q.reshape(batch, rows * side, -1) @ k).reshape(batch, rows, side, side, side)
        scores = scores + bias_h.unsqueeze(-1) + bias_w.unsqueeze(-2)
        return scores.reshape(batch, rows * side, side * side).softmax(dim=-1) @ v
