"""Ranges of the layers' inputs, streamed over calibration pictures without storing any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgsam_edge.calibration.products import Products
from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.layers import Convolution, convolutions, quantisable

Layer = tuple[str, str]
"""Graph and layer."""

METHODS = ("minmax", "percentile", "mse")
"""Methods of choosing a range: all values; all but a ten-thousandth; the lowest rounding error."""

UNJUDGED = "mse"
"""The method where no masks are compared: only layers that stay out of four bits need these ranges."""

_BINS, _CHANNEL_BINS = 2048, 512
"""Of the histogram of a whole input, and of each channel where they are kept apart."""

_TAIL = 5e-5
"""Share of the values that "percentile" leaves out on each side."""

_TAILS = (1e-6, 1e-5, 5e-5, 2e-4, 1e-3)

_LEAST_EDGE = 2.0**-20

_ROWS = 512
"""Of one input at most, whose products are summed up: of all they would cost more than the layers."""


@dataclass(frozen=True)
class Range:
    """Lowest and highest value of a layer's input; values beyond are clipped."""

    low: float
    high: float


@dataclass(frozen=True)
class Watched:
    """What is observed besides the inputs' ranges of linear layers.

    Attributes:
        products: products of channels with each other, which weights of four bits need.
        convolutions: names of the graphs of whose `convolutions` inputs are observed too.
        folder: for large sums of products; None leaves them in memory.
        judged: whether the ways to choose ranges are compared by masks; else they are chosen by `UNJUDGED`.
    """

    products: bool = False
    convolutions: frozenset[str] = frozenset()
    folder: Path | None = None
    judged: bool = True


RANGES_ALONE = Watched()


class Seen:
    """Statistics of one layer's input.

    Args:
        channels: how many the input has.
        apart: keep a histogram of each channel, so that the channels can be divided later.
        products: sums up the products of channels with each other, of some of the rows; None where nobody needs them.

    Attributes:
        low, high: least and greatest value of each channel, (channels,).
        counts: histograms over [-edge, edge], a row for each channel, or one for all.
        edges: of each row; doubled, and the bins joined in pairs, whenever a value lies outside.
    """

    def __init__(self, channels: int, *, apart: bool = False, products: Products | None = None) -> None:
        self.low, self.high = torch.full((channels,), torch.inf), torch.full((channels,), -torch.inf)
        self._apart = apart
        self.products = products
        rows, bins = (channels, _CHANNEL_BINS) if apart else (1, _BINS)
        self.counts, self.edges = torch.zeros(rows, bins, dtype=torch.int64), torch.full((rows,), _LEAST_EDGE)

    @property
    def magnitude(self) -> Tensor:
        """The greatest magnitude of each channel, (channels,)."""
        return torch.maximum(self.high, -self.low)

    @property
    def extremes(self) -> tuple[float, float]:
        """The least and the greatest value of all; NaN where one was."""
        return self.low.min().item(), self.high.max().item()

    def add(self, values: Tensor) -> None:
        """Take in one input (..., channels)."""
        flat = values.detach().reshape(-1, values.shape[-1]).float()
        low, high = torch.aminmax(flat, dim=0)
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        if not np.isfinite(self.extremes).all():
            return  # reported when ranges are asked for
        self._widen()
        self.counts += self._histograms(flat)
        if self.products is not None:
            self.products.add(flat[:: -(-len(flat) // _ROWS)])

    def _widen(self) -> None:
        peak = self.magnitude if self._apart else self.magnitude.max()[None]
        while (narrow := peak > self.edges).any():
            joined = self.counts[narrow].unflatten(1, (-1, 2)).sum(dim=2)
            quarter = self.counts.shape[1] // 4
            self.counts[narrow] = torch.nn.functional.pad(joined, (quarter, quarter))
            self.edges[narrow] *= 2

    def _histograms(self, flat: Tensor) -> Tensor:
        rows, bins = self.counts.shape
        if not self._apart:
            edge = self.edges.item()
            return torch.histc(flat, bins, -edge, edge).long()[None]
        places = flat.mul(bins / 2 / self.edges).add_(bins / 2).int().clamp_(0, bins - 1)
        places += torch.arange(0, rows * bins, bins, dtype=torch.int32)
        return torch.bincount(places.flatten(), minlength=rows * bins).view(rows, bins)

    def divided(self, scale: Tensor) -> Seen:
        """Return what would have been seen of the input divided by a scale of each channel, (channels,).

        Extremes are exact, the histogram is so to a bin of a channel's; it needs the channels apart.
        """
        assert self._apart
        made = Seen(len(self.low))
        made.low, made.high = self.low / scale, self.high / scale
        made.products = None if self.products is None else self.products.divided(scale)
        made._widen()
        bins = self.counts.shape[1]
        middles = ((torch.arange(bins) + 0.5) * 2 / bins - 1) * (self.edges / scale)[:, None]
        places = (middles / made.edges).add(1).mul(_BINS / 2).long().clamp(0, _BINS - 1)
        made.counts = torch.zeros_like(made.counts).index_add_(1, places.flatten(), self.counts.flatten()[None])
        return made

    def choose(self, method: str) -> Range:
        """Return a range, which always holds 0, by one of `METHODS`."""
        low, high = self.extremes
        low, high = min(low, 0.0), max(high, 0.0)
        if method == "minmax" or high - low <= 0:
            return Range(low, high)
        if self._apart:
            return self.divided(torch.ones_like(self.low)).choose(method)
        candidates = [self._cut(tail) for tail in ((_TAIL,) if method == "percentile" else _TAILS)]
        if method == "mse":
            return min([Range(low, high), *candidates], key=self._error)
        return candidates[0]

    def _cut(self, tail: float) -> Range:
        edge, counts, (low, high) = self.edges.item(), self.counts[0].double().numpy(), self.extremes
        edges = np.linspace(-edge, edge, _BINS + 1)
        share = np.cumsum(counts) / counts.sum()
        lower = float(edges[np.searchsorted(share, tail)])
        upper = float(edges[min(_BINS, np.searchsorted(share, 1 - tail) + 1)])
        return Range(min(0.0, max(lower, low)), max(0.0, min(upper, high)))

    def _error(self, held: Range) -> float:
        """Return the mean squared error of rounding to 256 steps, from the histogram."""
        edge, counts = self.edges.item(), self.counts[0].double().numpy()
        middles = (np.arange(_BINS) + 0.5) * 2 * edge / _BINS - edge
        step = max(held.high - held.low, 1e-12) / 255
        beyond = np.maximum(middles - held.high, 0) + np.maximum(held.low - middles, 0)
        return float((counts * np.where(beyond > 0, beyond**2, step**2 / 12)).sum() / counts.sum())


class Observer:
    """Watches the inputs of all layers of some graphs that can be quantised.

    Args:
        graphs: whose layers to watch.
        readers: layers that read a norm, each with the first that reads the same: of these one is watched, with its
            channels apart.
        watched: what to observe besides.

    Attributes:
        seen: by graph and layer.
    """

    def __init__(
        self, graphs: Iterable[Graph], readers: Mapping[Layer, Layer] | None = None, watched: Watched = RANGES_ALONE
    ) -> None:
        self._graphs, self._readers, self._watched = tuple(graphs), readers or {}, watched
        self.seen: dict[Layer, Seen] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Observe everything that runs within the block."""
        hooks = []
        for graph in self._graphs:
            for name, layer in quantisable(graph).items():
                if self._readers.get((graph.name, name), (graph.name, name)) == (graph.name, name):
                    hooks.append(layer.register_forward_pre_hook(self._hook((graph.name, name), layer)))
            for name, convolution in convolutions(graph).items() if graph.name in self._watched.convolutions else ():
                hooks.append(convolution.register_forward_pre_hook(self._of_pixels((graph.name, name), convolution)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        self.seen |= {layer: self.seen[first] for layer, first in self._readers.items() if first in self.seen}

    def _hook(self, key: Layer, layer: nn.Linear) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def take(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            if key not in self.seen:
                apart = key in self._readers
                self.seen[key] = Seen(layer.in_features, apart=apart, products=self._products(layer.in_features))
            self.seen[key].add(inputs[0])

        return take

    def _products(self, channels: int) -> Products | None:
        if not self._watched.products:
            return None
        folder = self._watched.folder
        return Products(channels, folder / f"products-{len(self.seen)}" if folder else None)

    def _of_pixels(self, key: Layer, layer: Convolution) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def take(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.seen.setdefault(key, Seen(layer.in_channels)).add(inputs[0].movedim(1, -1))

        return take

    def ranges(self, method: str) -> dict[Layer, Range]:
        """Return the range of each layer's input.

        Raises:
            ExportError: see `check`.
        """
        self.check()
        return {key: seen.choose(method) for key, seen in self.seen.items()}

    def check(self) -> None:
        """Refuse what has no range.

        Raises:
            ExportError: an input held NaN or infinity, or nothing was seen.
        """
        if not self.seen:
            raise ExportError("nothing ran while ranges were observed; calibration needs at least one picture.")
        for (graph, layer), seen in self.seen.items():
            if not np.isfinite(seen.extremes).all():
                raise ExportError(
                    f"the input of the layer {layer!r} of graph {graph!r} was NaN or infinite on a calibration "
                    "picture, so it has no range. The checkpoint is damaged, or its numbers overflow: try fp32 first."
                )


def of_graph(ranges: Mapping[Layer, Range], graph: str) -> dict[str, Range]:
    """Return the ranges of one graph's layers by layer."""
    return {layer: held for (name, layer), held in ranges.items() if name == graph}
