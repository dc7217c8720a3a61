"""INT8 in an export: calibrate on photos, quantise a graph for a target, rank the layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from numpy.linalg import LinAlgError
from torch import Tensor

from cgsam_edge.calibration.calibrate import Calibrated, Feeds, Progress, calibrate
from cgsam_edge.calibration.four_bits import FourBits, block_of, in_four_bits
from cgsam_edge.calibration.quantise import coreml, onnxruntime, openvino
from cgsam_edge.calibration.ranges import RANGES_ALONE, Layer, Watched, of_graph
from cgsam_edge.calibration.ranking import Ranking, rank
from cgsam_edge.calibration.saved import SavedGraphs
from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs.build import Graph, Graphs
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.targets import COREML
from cgsam_edge.manifest import GraphSpec
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.photos import Photos
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.wording import amount

EVALUATED_PICTURES = 8
"""Number of calibration inputs for the slow evaluator of Core ML programs; extreme values repeat anyway."""

_NAMED_PHOTOS = 8


class Quantiser:
    """Quantises the encoder graphs of one model; made by `Quantiser.calibrate`.

    Args:
        graphs: the smoothed graphs from which targets are converted.
        reference: these graphs in PyTorch.
        calibrated: the result of the calibration.
        coreml_int8: meaning of "int8" on Core ML.
        work: a folder for copies of the graphs before quantisation.
    """

    def __init__(
        self, graphs: Graphs, reference: Segmenter, calibrated: Calibrated, coreml_int8: str, work: Path
    ) -> None:
        self._graphs, self._reference, self._calibrated = graphs, reference, calibrated
        self._coreml_int8 = coreml_int8
        self._originals = SavedGraphs(work / "originals")
        self._four_bits: dict[Layer, FourBits] = {}

    @classmethod
    def calibrate(
        cls,
        graphs: Graphs,
        reference: Segmenter,
        photos: Photos,
        work: Path,
        *,
        smoothing: float,
        coreml_int8: str,
        progress: Progress,
        watched: Watched = RANGES_ALONE,
    ) -> Quantiser:
        """Smooth the graphs in place, and observe the ranges of their layers' inputs.

        Args:
            graphs: the graphs from which targets will be converted.
            reference: these graphs in PyTorch.
            photos: photos to calibrate on.
            work: a folder for temporary files.
            smoothing: strength of the smoothing of outlier channels, from 0 to 1.
            coreml_int8: meaning of "int8" on Core ML.
            progress: receives a line per picture.
            watched: what to observe besides: products for weights of four bits, and convolutions for OpenVINO.

        Raises:
            ExportError: an input of a layer was NaN or infinite.
        """
        features = work / "features"
        features.mkdir()
        found = calibrate(graphs, Feeds(photos, reference, features), smoothing, progress, watched)
        return cls(graphs, reference, found, coreml_int8, work)

    @property
    def method(self) -> str:
        """A line for the report about how ranges were chosen."""
        return f"ranges by {self._calibrated.method}, {amount(self._calibrated.smoothed, 'norm')} smoothed"

    @property
    def scores(self) -> str:
        """A line about how ranges were chosen, with the error of each method."""
        errors = ", ".join(f"{name} {value:.4f}" for name, value in self._calibrated.scores.items())
        found = self._calibrated
        compared = f" (error of the logits: {errors})" if errors else ""
        return f"ranges by {found.method}{compared}; {amount(found.smoothed, 'norm')} smoothed"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the calibration, one line each."""
        missing = self._calibrated.absent
        if not missing:
            return ()
        names = ", ".join(missing[:_NAMED_PHOTOS])
        verb = "shows" if len(missing) == 1 else "show"
        return (f"{amount(len(missing), 'photo')} {verb} none of the concepts tried on them: {names}",)

    def quantise(
        self,
        target: str,
        graph: Graph,
        folder: Path,
        spec: GraphSpec,
        kept: frozenset[str] = frozenset(),
        precision: str = "int8",
    ) -> GraphSpec:
        """Rewrite a graph that was converted for a target, with the engine's own tool.

        A graph can be quantised again with other layers in float: each time, it starts from the converted graph.

        Args:
            target: the target's name.
            graph: the graph before conversion.
            folder: the bundle being written.
            spec: spec of the converted graph.
            kept: layers to keep in higher precision: in float, and of a graph in "int4" in INT8.
            precision: "int8" or "int4".

        Raises:
            ExportError: the tool failed.
        """
        if self._originals.holds(target, graph.name):
            self._originals.restore(folder, target, graph.name)
        else:
            self._originals.save(folder, target, graph.name)
        feeds, ranges = self._calibrated.feeds, of_graph(self._calibrated.ranges, graph.name)
        if target == COREML:
            few, kind = feeds.first(EVALUATED_PICTURES).of(graph), self._coreml_int8
            kind = "palette4" if precision == "int4" else kind
            return coreml.quantise(graph, folder, spec, coreml_int8=kind, in_float=kept, feeds=few)
        small = self._weights(graph, kept) if precision == "int4" else None
        in_float = frozenset() if precision == "int4" else kept
        if target == "onnxruntime":
            return onnxruntime.quantise(graph, folder, spec, ranges=ranges, in_float=in_float, four_bits=small)
        given = feeds.of(graph)
        return openvino.quantise(graph, folder, spec, feeds=given, ranges=ranges, in_float=in_float, four_bits=small)

    def _weights(self, graph: Graph, kept: frozenset[str]) -> dict[str, FourBits]:
        """Return the weights in four bits of a graph's layers, but of those that are kept or too narrow."""
        found = {}
        for name, layer in quantisable(graph).items():
            if name in kept or block_of(layer.in_features) is None:
                continue
            key = (graph.name, name)
            if key not in self._four_bits:  # the same on every target
                self._four_bits[key] = self._rounded(key, layer.weight)
            found[name] = self._four_bits[key]
        return found

    def _rounded(self, layer: Layer, weight: Tensor) -> FourBits:
        try:
            return in_four_bits(weight, self._calibrated.products[layer].matrix)
        except LinAlgError as error:
            graph, name = layer
            raise ExportError(
                f"the layer {name!r} of the graph {graph!r} cannot be rounded to four bits: {error}. Calibrate on "
                f"other photos (--calibration), or export this graph in INT8: --precision {graph}=int8."
            ) from error

    def rank(self, gate: Gate, quantised: frozenset[str], minutes: float, progress: Progress) -> Ranking:
        """Rank the layers of the graphs that are quantised; see `cgsam_edge.calibration.ranking.rank`.

        Args:
            gate: the gate with PyTorch's masks.
            quantised: names of the graphs that some target has in INT8.
            minutes: time limit for trying layers.
            progress: receives a line of progress from time to time.
        """
        graphs: Sequence[Graph] = tuple(self._graphs)
        ranges = {layer: held for layer, held in self._calibrated.ranges.items() if layer[0] in quantised}
        weights = {layer: torch.from_numpy(made.weight) for layer, made in self._four_bits.items()}
        return rank(gate, self._reference, graphs, ranges, 60 * minutes, progress, weights)
