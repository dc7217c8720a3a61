"""Ranges of the linear layers' inputs, streamed over calibration pictures without storing any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.layers import quantisable

METHODS = ("minmax", "percentile", "mse")
"""Methods of choosing a range: all values; all but a ten-thousandth; the lowest rounding error."""

_BINS = 2048
_TAIL = 5e-5
"""Share of the values that "percentile" leaves out on each side."""


@dataclass(frozen=True)
class Range:
    """Lowest and highest value of a layer's input; values beyond are clipped."""

    low: float
    high: float


@dataclass
class Seen:
    """Statistics of one layer's input.

    Attributes:
        channels: largest magnitude of each channel, (in_features,).
        low, high: lowest and highest value.
        counts: histogram over [-edge, edge], `_BINS` bins.
        edge: range of the histogram; doubled, with bins joined in pairs, whenever a value lies outside.
    """

    channels: Tensor
    low: float = float("inf")
    high: float = float("-inf")
    counts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))
    edge: float = 1.0

    def add(self, values: Tensor) -> None:
        """Add one input (..., in_features)."""
        flat = values.detach().reshape(-1, values.shape[-1])
        low, high = flat.min().item(), flat.max().item()
        self.low = float(np.minimum(self.low, low))  # numpy's maximum propagates NaN
        self.high = float(np.maximum(self.high, high))
        self.channels = torch.maximum(self.channels, flat.abs().amax(dim=0))
        if not np.isfinite(low + high):
            return  # reported when ranges are asked for
        while max(abs(low), abs(high)) > self.edge:
            self._widen()
        self.counts += torch.histc(flat.flatten(), _BINS, -self.edge, self.edge).double().numpy()

    def _widen(self) -> None:
        joined = self.counts.reshape(-1, 2).sum(axis=1)
        quarter = np.zeros(_BINS // 4)
        self.counts, self.edge = np.concatenate([quarter, joined, quarter]), 2 * self.edge

    def choose(self, method: str) -> Range:
        """Return a range by one of `METHODS`; it always contains 0."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        if method == "minmax" or high - low <= 0:
            return Range(low, high)
        candidates = [self._cut(_TAIL)] if method == "percentile" else [self._cut(t) for t in _TAILS]
        if method == "mse":
            return min([Range(low, high), *candidates], key=self._error)
        return candidates[0]

    def _cut(self, tail: float) -> Range:
        edges = np.linspace(-self.edge, self.edge, _BINS + 1)
        share = np.cumsum(self.counts) / self.counts.sum()
        low = float(edges[np.searchsorted(share, tail)])
        high = float(edges[min(_BINS, np.searchsorted(share, 1 - tail) + 1)])
        return Range(min(0.0, max(low, self.low)), max(0.0, min(high, self.high)))

    def _error(self, held: Range) -> float:
        """Return the mean squared error of rounding to 256 steps, from the histogram."""
        middles = (np.arange(_BINS) + 0.5) * 2 * self.edge / _BINS - self.edge
        step = max(held.high - held.low, 1e-12) / 255
        beyond = np.maximum(middles - held.high, 0) + np.maximum(held.low - middles, 0)
        return float((self.counts * np.where(beyond > 0, beyond**2, step**2 / 12)).sum() / self.counts.sum())


_TAILS = (1e-6, 1e-5, 5e-5, 2e-4, 1e-3)


class Observer:
    """Watches the inputs of all quantisable layers of some graphs.

    Args:
        graphs: the graphs whose layers are observed.

    Attributes:
        seen: statistics by graph and layer, in the order of their first run.
    """

    def __init__(self, graphs: Iterable[Graph]) -> None:
        self._graphs = tuple(graphs)
        self.seen: dict[tuple[str, str], Seen] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Observe everything that runs within the block."""
        hooks = []
        for graph in self._graphs:
            for name, layer in quantisable(graph).items():
                hooks.append(layer.register_forward_pre_hook(self._hook((graph.name, name), layer)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, key: tuple[str, str], layer: nn.Linear) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def take(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.seen.setdefault(key, Seen(torch.zeros(layer.in_features))).add(inputs[0])

        return take

    def ranges(self, method: str) -> dict[tuple[str, str], Range]:
        """Return the range of each layer's input.

        Raises:
            ExportError: an input contained NaN or infinity, or nothing ran.
        """
        if not self.seen:
            raise ExportError("nothing ran while ranges were observed; calibration needs at least one picture.")
        for (graph, layer), seen in self.seen.items():
            if not np.isfinite([seen.low, seen.high]).all():
                raise ExportError(
                    f"the input of the layer {layer!r} of graph {graph!r} was NaN or infinite on a calibration "
                    "picture, so it has no range. The checkpoint is damaged, or its numbers overflow: try fp32 first."
                )
        return {key: seen.choose(method) for key, seen in self.seen.items()}


def of_graph(ranges: Mapping[tuple[str, str], Range], graph: str) -> dict[str, Range]:
    """Return the ranges of one graph by layer."""
    return {layer: held for (name, layer), held in ranges.items() if name == graph}
