"""Relative positions as one product with the tables themselves, instead of a table for each row of queries."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RelativePositions(nn.Module):
    """What keys' rows and columns add to the scores of all queries of a square.

    OpenVINO's CPU keeps a product with a constant of more than two axes in float32, with a conversion before and after
    it. The tables themselves have two axes: a query is multiplied by all 2 · side - 1 distances, and the side of them
    that it needs are gathered, which is exact.

    Args:
        table_h: (1, side, c, side), from a query's row to its keys' rows.
        table_w: the same of columns.
    """

    tables: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, table_h: Tensor, table_w: Tensor) -> None:
        super().__init__()
        side = table_h.shape[1]
        self.register_buffer("tables", torch.cat([_by_distance(table_h), _by_distance(table_w)]))
        distance = torch.arange(side)[:, None] - torch.arange(side) + side - 1  # of a query's place to a key's
        first = torch.arange(side * side).reshape(side, side, 1) * len(self.tables)  # of a query's products
        self.register_buffer("rows", (first + distance[:, None]).int().flatten())
        self.register_buffer("columns", (first + distance + 2 * side - 1).int().flatten())

    def forward(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Map queries (B, side², c), row by row, to (B, side², side) for the keys' rows, and for their columns."""
        products = (q @ self.tables.T).flatten(1)
        shape = (*q.shape[:2], -1)
        return products.index_select(1, self.rows).reshape(shape), products.index_select(1, self.columns).reshape(shape)


def _by_distance(table: Tensor) -> Tensor:
    """Return the entries (2 · side - 1, c) of a table, from the least distance, 1 - side, to the greatest."""
    side = table.shape[1]
    return torch.stack([table[0, max(d, 0), :, max(-d, 0)] for d in range(1 - side, side)])
