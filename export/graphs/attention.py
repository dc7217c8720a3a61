"""SAM's attention with constants gathered at export, never storing all scores of a global block at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from segment_anything.modeling.image_encoder import get_rel_pos
from torch import Tensor, nn

from cgsam_edge.export import fusion
from cgsam_edge.export.config import SamConfig
from cgsam_edge.export.graphs import kernels
from cgsam_edge.export.graphs.relative import RelativePositions
from cgsam_edge.export.graphs.windows import PaddedWindows, Windows
from cgsam_edge.export.reference.image_encoder import Block

_CACHE_BYTES = 16 * 2**20
"""Upper bound in bytes of the scores of one head that exist at once.

A global attention of ViT-B takes ONNX Runtime a sixth and OpenVINO a ninth less time than with 32 MiB over all heads.
With 8 MiB they gain a quarter and a sixth, but OpenVINO then took 4.7 s to compile the graph, here 2.3 s.
"""

_SCORE_BYTES = 32 * 2**20
"""Likewise over all heads, for devices that prefer few and large operators."""


class Chunk(NamedTuple):
    """Number of heads, and of rows of queries, that attend at once."""

    heads: int
    rows: int


def cached(side: int) -> Chunk:
    """Return one head, and as many of the ``side`` rows as fit the caches; a divisor of ``side``."""
    return Chunk(1, _rows(4 * side**3, side, _CACHE_BYTES))


def by_head(side: int) -> Chunk:
    """Return one head with all its queries, for engines whose attention does not write the scores."""
    return Chunk(1, side)


def together(heads: int, side: int) -> Chunk:
    """Return all heads, and as many of the ``side`` rows as the bound allows; a divisor of ``side``."""
    return Chunk(heads, _rows(4 * heads * side**3, side, _SCORE_BYTES))


def _rows(row_bytes: int, side: int, bound: int) -> int:
    return max(n for n in range(1, side + 1) if side % n == 0 and (n == 1 or n * row_bytes <= bound))


class FusedAttention(nn.Module):
    """Norm, attention and space adapter of one block, before the residual sum.

    The query's scale is folded into the qkv weights; window padding is inserted after qkv, as a constant: before qkv,
    it would keep OpenVINO from computing the layer in INT8.

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
        self.grid, self.heads, self.width = config.grid, config.heads, config.width
        self.side = block.window or config.grid
        self.windows: Windows | PaddedWindows | None = Windows(self.grid, self.side) if block.window else None
        self.chunk = Chunk(self.heads, self.side) if block.window else cached(self.side)
        self.relative: RelativePositions | None = None
        self.norm = block.norm1
        scale = config.head_width**-0.5
        weight, bias = fusion.wide(attn.qkv)
        factor = torch.ones(3 * self.width, dtype=torch.float64)
        factor[: self.width] = scale
        self.qkv = fusion.linear(weight * factor[:, None], bias * factor)
        padding = fusion.window_padding(block.norm1, attn.qkv, before_norm=block.pad_before_norm)
        self.register_buffer("padding", padding * factor.float())
        for axis in "hw":  # (1, query, c, key): to three axes engines add a fourth, with a copy for each product
            table = get_rel_pos(self.side, self.side, getattr(attn, f"rel_pos_{axis}"))
            self.register_buffer(f"table_{axis}", (table / scale).transpose(1, 2).contiguous()[None])
        if block.Space_Adapter is None:
            self.proj, self.up = attn.proj, None
        else:
            self.proj, self.up = fusion.fuse_space_adapter(attn.proj, block.Space_Adapter)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, N, C), row by row, to the attention branch of the same shape."""
        qkv = self.qkv(self.norm(x))
        if self.windows is None:
            attended = self._attend(qkv.unflatten(1, (self.grid, self.grid))).flatten(1, 2)
        elif self.relative is not None:
            attended = self._attend_whole(qkv)
        else:
            attended = self.windows.join(self._attend(self.windows.part(qkv, self.padding)), x.shape[0])
        y: Tensor = self.proj(attended)
        if self.up is None:
            return y
        main, hidden = y.split([self.width, y.shape[-1] - self.width], dim=-1)
        out: Tensor = main + self.up(F.gelu(hidden))
        return out

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attend over squares of tokens: (B, side, side, 3C) to (B, side, side, C)."""
        batch, side, heads = qkv.shape[0], self.side, self.heads
        split = qkv.reshape(batch, side * side, 3, heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = (part.reshape(batch * heads, side * side, -1) for part in split.unbind(0))
        if kernels.used():
            joined = self._by_kernel(q, k, v)
        else:
            joined = self._chunkwise(q, k, v, batch) if self.relative is None else self._squarewise(q, k, v, batch)
        return joined.reshape(batch, heads, side, side, -1).permute(0, 2, 3, 1, 4).reshape(batch, side, side, -1)

    def _attend_whole(self, qkv: Tensor) -> Tensor:
        """Attend within windows that fill the grid, moving axes once each way: (B, N, 3C) to (B, N, C)."""
        side, count, heads = self.side, self.grid // self.side, self.heads
        split = qkv.reshape(-1, side, count, side, 3 * heads, self.width // heads).permute(4, 0, 2, 1, 3, 5)
        q, k, v = split.reshape(3, -1, side * side, self.width // heads).unbind(0)
        made = self._by_kernel(q, k, v) if kernels.used() else self._squarewise(q, k, v, len(q) // heads)
        joined = made.reshape(heads, -1, count, side, side, self.width // heads)
        return joined.permute(1, 3, 2, 4, 0, 5).reshape(*qkv.shape[:2], self.width)

    def _by_kernel(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with (B, side², c) each, as many of B at once as fit their biases into `_CACHE_BYTES`."""
        bound = max(1, _CACHE_BYTES // (4 * self.side**4))
        return _joined([self._kernel(*parts) for parts in zip(*(t.split(bound) for t in (q, k, v)), strict=True)], 0)

    def _kernel(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        grid = q.unflatten(1, (self.side, self.side))
        by_row = (grid @ self.table_h).unsqueeze(-1)
        by_column = (grid.transpose(1, 2) @ self.table_w).transpose(1, 2).unsqueeze(-2)
        bias = (by_row + by_column).reshape(-1, 1, self.side**2, self.side**2)
        q, k, v = (part.unsqueeze(1) for part in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, bias, scale=1.0).squeeze(1)

    def _chunkwise(self, q: Tensor, k: Tensor, v: Tensor, batch: int) -> Tensor:
        """Attend with (B, side², c) each, some heads and rows of queries at a time."""
        grid = q.reshape(-1, self.side, self.side, q.shape[-1])
        at_once = (batch if self.windows else 1) * self.chunk.heads
        given = zip(*(_pieces(part, at_once, 0) for part in (grid, k, v)), strict=True)
        tables = _pieces(self.table_h, self.chunk.rows, 1)  # once, as engines copy what is cut again
        return _joined([self._rowwise(q, k.transpose(1, 2), v, tables) for q, k, v in given], 0)

    def _squarewise(self, q: Tensor, k: Tensor, v: Tensor, batch: int) -> Tensor:
        """Attend with (B, side², c) each, some heads at a time, from all queries of a square."""
        assert self.relative is not None
        at_once = (batch if self.windows else 1) * self.chunk.heads
        given = (_pieces(part, at_once, 0) for part in (q, k, v, *self.relative(q)))
        return _joined([self._biased(*parts) for parts in zip(*given, strict=True)], 0)

    def _biased(self, q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
        """Attend with (B, side², c) each, and (B, side², side) for the keys' rows and for their columns."""
        bias = (by_row.unsqueeze(-1) + by_column.unsqueeze(-2)).flatten(2)
        return (q @ k.transpose(1, 2) + bias).softmax(dim=-1) @ v

    def _rowwise(self, q: Tensor, k: Tensor, v: Tensor, tables: Sequence[Tensor]) -> Tensor:
        """Attend from all queries (B, side, side, c), some rows at a time, to all keys (B, c, side²): (B, side², c)."""
        parts = zip(_pieces(q, self.chunk.rows, 1), tables, strict=True)
        return _joined([self._scored(q, k, v, table_h) for q, table_h in parts], 1)

    def _scored(self, q: Tensor, k: Tensor, v: Tensor, table_h: Tensor) -> Tensor:
        """Attend from some rows of queries (B, rows, side, c) to all keys (B, c, side²): (B, rows·side, c)."""
        batch, rows, side, _ = q.shape
        bias_h = q @ table_h  # (B, rows, side, side), by the query's row
        bias_w = (q.transpose(1, 2) @ self.table_w).transpose(1, 2)  # the same by its column
        scores = (q.reshape(batch, rows * side, -1) @ k).reshape(batch, rows, side, side, side)
        scores = scores + bias_h.unsqueeze(-1) + bias_w.unsqueeze(-2)
        return scores.reshape(batch, rows * side, side * side).softmax(dim=-1) @ v


def _pieces(x: Tensor, size: int, dim: int) -> Sequence[Tensor]:
    return x.split(size, dim) if size < x.shape[dim] else [x]


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    return torch.cat(parts, dim=dim) if len(parts) > 1 else parts[0]
