"""Mixed precision by measurement: which layers harm masks most when they are quantised, each alone."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cgsam_edge.calibration.fakequant import quantised
from cgsam_edge.calibration.ranges import Range
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.quality.findings import Sensitivity
from cgsam_edge.quality.gate import Gate
from cgsam_edge.segmenter import Segmenter

Layer = tuple[str, str]
"""Graph and layer."""

PICTURES = 3
"""Of the gate's, on which each layer is tried."""


@dataclass(frozen=True)
class Ranking:
    """Layers or groups of layers, the most harmful first.

    Attributes:
        groups: each is one entry of the ranking.
        sensitivity: what was measured of each group, in the same order.
        unmeasured: groups for which the time did not suffice.
    """

    groups: tuple[tuple[Layer, ...], ...]
    sensitivity: tuple[Sensitivity, ...]
    unmeasured: int = 0

    def worst(self, count: int) -> frozenset[Layer]:
        """Return the layers of the first ``count`` groups."""
        return frozenset(layer for group in self.groups[:count] for layer in group)


def rank(
    gate: Gate,
    segmenter: Segmenter,
    graphs: Sequence[Graph],
    ranges: Mapping[Layer, Range],
    seconds: float,
    progress: Callable[[str], None] = lambda _: None,
) -> Ranking:
    """Measure each layer's harm by acting its quantisation out in PyTorch, within a budget of time.

    Where single layers would take too long, those of a block are tried together.

    Args:
        gate: with PyTorch's masks.
        segmenter: of the same graphs, in PyTorch.
        graphs: the graphs that it runs.
        ranges: of all layers that are to be quantised.
        seconds: when they are over, what is left stays unmeasured, and last.
        progress: takes a line now and then.
    """
    start = time.monotonic()
    gate.measure(segmenter, PICTURES)
    each = time.monotonic() - start
    layers: Iterable[tuple[Layer, ...]] = [(layer,) for layer in ranges]
    if each * len(ranges) > seconds:
        layers = _blocks(ranges)
    groups, found = list(layers), []
    for number, group in enumerate(groups, start=1):
        if time.monotonic() - start > seconds:
            break
        with quantised(graphs, ranges, group):
            found.append((_sensitivity(gate, segmenter, group), group))
        progress(f"tried {number} of {len(groups)} layers or blocks")
    found.sort(key=lambda item: item[0].mean_iou)
    rest = groups[len(found) :]
    return Ranking((*(g for _, g in found), *rest), tuple(s for s, _ in found), len(rest))


def _blocks(ranges: Mapping[Layer, Range]) -> list[tuple[Layer, ...]]:
    made: dict[tuple[str, str], list[Layer]] = defaultdict(list)
    for graph, layer in ranges:
        parts = layer.split(".")
        depth = parts.index("blocks") + 2 if "blocks" in parts else 1
        made[graph, ".".join(parts[:depth])].append((graph, layer))
    return [tuple(group) for group in made.values()]


def _sensitivity(gate: Gate, segmenter: Segmenter, group: tuple[Layer, ...]) -> Sensitivity:
    pairs = gate.measure(segmenter, PICTURES)
    counted = [p for p in pairs if p.expected_present] or list(pairs)
    graph, layer = group[0]
    name = layer if len(group) == 1 else f"{layer.rpartition('.')[0] or layer} and {len(group) - 1} more"
    iou, error = (float(np.mean([getattr(p, of) for p in counted])) for of in ("iou", "error"))
    return Sensitivity(graph, name, iou, error)
