"""Mixed precision by measurement: how sensitive masks are to the quantisation of each single layer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from torch import Tensor

from cgsam_edge.calibration.fakequant import quantised
from cgsam_edge.calibration.ranges import Layer, Range
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.quality.findings import Sensitivity
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.judge import counted
from cgsam_edge.quality.pairs import MaskPair
from cgsam_edge.segmenter import Segmenter

Group = tuple[Layer, ...]
"""Layers that are tried together."""

PICTURES = 3
"""Number of the gate's pictures on which each layer is tried."""


@dataclass(frozen=True)
class Ranking:
    """Layers or groups of layers, the most sensitive first.

    Attributes:
        groups: one entry of the ranking each; groups that were not measured come last.
        sensitivity: measurements of the first groups, in the same order.
    """

    groups: tuple[Group, ...]
    sensitivity: tuple[Sensitivity, ...]

    @property
    def unmeasured(self) -> int:
        """Number of groups for which there was no time."""
        return len(self.groups) - len(self.sensitivity)

    def most_sensitive(self, count: int) -> frozenset[Layer]:
        """Return the layers of the first ``count`` groups."""
        return frozenset(layer for group in self.groups[:count] for layer in group)

    def without(self, layers: Collection[Layer]) -> Ranking:
        """Return the ranking of all other layers."""
        rest = [tuple(layer for layer in group if layer not in layers) for group in self.groups]
        measured = [found for found, group in zip(self.sensitivity, rest, strict=False) if group]
        return Ranking(tuple(group for group in rest if group), tuple(measured))

    def reason(self, layer: Layer) -> str:
        """Return a phrase with the reason why a layer is kept in float."""
        place = next(i for i, group in enumerate(self.groups) if layer in group)
        if place >= len(self.sensitivity):
            return "not tried: the time limit was reached"
        alone = "alone" if len(self.groups[place]) == 1 else f"with its block, {len(self.groups[place])} layers"
        return f"mask IoU {self.sensitivity[place].mean_iou:.4f} {alone}"


def rank(
    gate: Gate,
    segmenter: Segmenter,
    graphs: Sequence[Graph],
    ranges: Mapping[Layer, Range],
    seconds: float,
    progress: Callable[[str], None] = lambda _: None,
    weights: Mapping[Layer, Tensor] | None = None,
) -> Ranking:
    """Measure each layer's sensitivity by simulating its quantisation in PyTorch, within a time limit.

    If single layers would take too long, the layers of a block are tried together.

    Args:
        gate: the gate with PyTorch's masks.
        segmenter: a segmenter of the same graphs, in PyTorch.
        graphs: the graphs that it runs.
        ranges: ranges of all layers to quantise.
        seconds: time limit, after which no further layer is tried; untried ones come last.
        progress: receives a line of progress from time to time.
        weights: of layers in four bits, as they were rounded; the inputs of these layers are not rounded.
    """
    start = time.monotonic()
    gate.measure(segmenter, PICTURES)
    each = time.monotonic() - start
    groups = [(layer,) for layer in ranges] if each * len(ranges) <= seconds else blocks(ranges)
    tried: list[tuple[Sensitivity, Group]] = []
    for number, group in enumerate(groups, start=1):
        if time.monotonic() - start > seconds:
            break
        with quantised(graphs, ranges, group, weights):
            tried.append((_sensitivity(group, gate.measure(segmenter, PICTURES)), group))
        progress(f"tried {number} of {len(groups)} layers or blocks")
    rest = groups[len(tried) :]
    tried.sort(key=lambda item: item[0].mean_iou)
    return Ranking((*(group for _, group in tried), *rest), tuple(found for found, _ in tried))


def blocks(layers: Mapping[Layer, object]) -> list[Group]:
    """Return layers grouped by block; a layer outside blocks is grouped by the first part of its name."""
    made: dict[tuple[str, str], list[Layer]] = defaultdict(list)
    for graph, layer in layers:
        parts = layer.split(".")
        depth = parts.index("blocks") + 2 if "blocks" in parts else 1
        made[graph, ".".join(parts[:depth])].append((graph, layer))
    return [tuple(group) for group in made.values()]


def _sensitivity(group: Group, pairs: Sequence[MaskPair]) -> Sensitivity:
    iou, error = (float(np.mean([getattr(p, of) for p in counted(pairs)])) for of in ("iou", "error"))
    return Sensitivity(group[0][0], _name(group), iou, error)


def _name(group: Group) -> str:
    """Return a layer's name, or a block's name and its number of layers."""
    first, last = (ends.split(".") for ends in (min(group)[1], max(group)[1]))
    shared = [a for a, b in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))]
    return ".".join(shared) + (f", {len(group)} layers" if len(group) > 1 else "")
