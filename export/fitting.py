"""Fitting a bundle into a size: the most precise weights for which a device stores at most ``max_size`` bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cgsam_edge.errors import ExportError, InputError
from cgsam_edge.export.config import ModelConfig
from cgsam_edge.export.graphs.build import Graph, build_graphs
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.targets import COREML, QUANTISED, TARGETS
from cgsam_edge.files import folder_bytes

WORDS = ("fp32", "fp16", "int8", "int4")
"""Precisions that are tried, the most precise first."""

_BYTES = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0, "int4": 0.5 + 2 / 64}
"""Bytes of a weight; in four bits, 64 of them share a scale of two bytes."""

_PER_OUTPUT = 8
"""Bytes of scale, zero point and their names for each output of a quantised layer, generously."""

_OVERHEAD, _SHARE = 1_200_000, 1.02
"""Bytes of examples, vocabulary, report and manifest, and of what graphs hold besides weights."""


@dataclass(frozen=True)
class WeightCounts:
    """Numbers of weights in a graph.

    Attributes:
        layers: in layers that can be quantised.
        outputs: of these layers.
        others: all others.
    """

    layers: int
    outputs: int
    others: int

    @classmethod
    def of(cls, graph: Graph) -> WeightCounts:
        """Count a graph's weights; no data is needed."""
        found = quantisable(graph).values()
        held = {id(one): one.numel() for one in (*graph.module.parameters(), *graph.module.buffers())}
        layers = sum(layer.weight.numel() for layer in found)
        return cls(layers, sum(layer.out_features for layer in found), sum(held.values()) - layers)

    def stored(self, word: str, target: str) -> float:
        """Return the bytes that they take in a precision on a target."""
        if word not in QUANTISED:
            return (self.layers + self.others) * _BYTES[word]
        others = "int8" if word == "int4" and target != COREML else "fp16"
        return self.layers * _BYTES[word] + self.outputs * _PER_OUTPUT + self.others * _BYTES[others]


def weights_of(config: ModelConfig, options: ExportOptions) -> dict[str, WeightCounts]:
    """Return the numbers of weights of each graph, counted without loading any."""
    with torch.device("meta"):
        graphs = build_graphs(ReferenceModel(config).eval(), options.prompt_slots, text=options.text_encoder)
    return {graph.name: WeightCounts.of(graph) for graph in graphs}


def estimate(weights: Mapping[str, WeightCounts], options: ExportOptions, target: str) -> int:
    """Return about how many bytes a device stores that takes one target of a bundle."""
    graphs = sum(held.stored(options.precision_of(target, name), target) for name, held in weights.items())
    return round(_SHARE * graphs) + _OVERHEAD


def fit(options: ExportOptions, config: ModelConfig, *, judged: bool) -> tuple[ExportOptions, str]:
    """Choose the precision by ``max_size``, if that is given.

    Args:
        options: options of the export.
        config: the model.
        judged: whether calibration and the gate are available; without them nothing is quantised.

    Returns:
        The options with a precision, and a line about the choice; unchanged and empty without ``max_size``.

    Raises:
        InputError: no precision fits, or the given one does not.
    """
    if options.max_size is None:
        return options, ""
    weights = weights_of(config, options)
    tried = (
        [options]
        if options.precision
        else [replace(options, precision=word) for word in _words(options, judged=judged)]
    )
    sizes = {one.precision: max(estimate(weights, one, name) for name in options.targets) for one in tried}
    for one in tried:
        if sizes[one.precision] <= options.max_size:
            about = f"about {sizes[one.precision] / 1e6:.1f} MB with one target"
            return one, f"precision {one.precision}: {about}, of {options.max_size / 1e6:.1f} MB allowed"
    listed = ", ".join(f"{word} {size / 1e6:.1f} MB" for word, size in sizes.items())
    raise InputError(
        f"no bundle of {options.max_size / 1e6:.1f} MB (--max-size): it would take about {listed}. "
        f"{_advice(options, sizes)}, or train a smaller model."
    )


def _advice(options: ExportOptions, sizes: Mapping[str | None, int]) -> str:
    """Return what to change: the size, or those options that were given."""
    least = min(sizes, key=lambda word: sizes[word])
    megabytes = math.ceil(sizes[least] / 1e5) / 10  # rounded up, so that it fits
    given = {"--text-encoder": options.text_encoder, "--precision": options.precision}
    left = " or ".join(name for name, value in given.items() if value)
    return f"Allow {megabytes:.1f} MB or more ({least})" + (f", leave out {left}" if left else "")


def _words(options: ExportOptions, *, judged: bool) -> list[str]:
    common = [word for word in WORDS if all(word in TARGETS[name].precisions for name in options.targets)]
    return common if judged else [word for word in common if word not in QUANTISED]


def stored_size(folder: Path, options: ExportOptions, target: str) -> int:
    """Return the bytes that a device stores that takes one target: its graphs, and what all targets share."""
    others = sum(folder_bytes(folder / name) for name in options.targets if name != target)
    return folder_bytes(folder) - others


def check_size(folder: Path, options: ExportOptions) -> None:
    """Compare a written bundle with ``max_size``.

    Raises:
        ExportError: a target is larger.
    """
    if options.max_size is None:
        return
    for target in options.targets:
        size = stored_size(folder, options, target)
        if size > options.max_size:
            lower = WORDS[WORDS.index(options.lowest_of(target)) + 1 :]
            advice = f"Take --precision {lower[0]}, or allow more" if lower else "Allow more"
            raise ExportError(
                f"the bundle takes {size / 1e6:.2f} MB with {target}, over the {options.max_size / 1e6:.2f} MB of "
                f"--max-size. {advice}."
            )
