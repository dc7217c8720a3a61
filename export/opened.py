"""The targets of an export as the gate sees them: how each is quantised, opened and timed."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from cgsam_edge.bundle import Bundle
from cgsam_edge.calibration.calibrate import Calibrated
from cgsam_edge.calibration.quantise import coreml, onnxruntime, openvino
from cgsam_edge.calibration.ranges import of_graph
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.manifests import package_version
from cgsam_edge.export.mil.evaluator import EvaluatorBackend
from cgsam_edge.manifest import GRAPH_NAMES, GraphSpec
from cgsam_edge.quality.findings import GraphQuality
from cgsam_edge.quality.latency import Racer, race
from cgsam_edge.runtimes.protocol import SessionOptions, cores
from cgsam_edge.runtimes.registry import BACKENDS
from cgsam_edge.segmenter import Segmenter

EVALUATED_PICTURES = 8
"""Calibration inputs that the evaluator of Core ML's programs runs: it is slow, and extremes repeat."""


def quantise(
    target: str,
    graph: Graph,
    folder: Path,
    spec: GraphSpec,
    calibrated: Calibrated,
    kept: frozenset[str],
    coreml_kind: str,
) -> GraphSpec:
    """Rewrite a graph that was converted for a target, with the engine's own tool.

    Raises:
        ExportError: the tool failed.
    """
    feeds, ranges = calibrated.feeds, of_graph(calibrated.ranges, graph.name)
    if target == "onnxruntime":
        return onnxruntime.quantise(graph, folder, spec, ranges=ranges, kept=kept)
    if target == "openvino":
        return openvino.quantise(graph, folder, spec, feeds=feeds.of(graph), ranges=ranges, kept=kept)
    few = feeds.first(EVALUATED_PICTURES)
    return coreml.quantise(graph, folder, spec, kind=coreml_kind, kept=kept, feeds=few.of(graph))


def open_target(folder: Path, target: str) -> Segmenter:
    """Open one target of a bundle on the CPU, in float32 arithmetic; Core ML's in the evaluator."""
    backend = EvaluatorBackend() if target == "coreml" else target
    return Segmenter(folder, backend=backend, device="cpu", precision="float32")


def race_targets(folder: Path, targets: Sequence[str]) -> tuple[GraphQuality, ...]:
    """Time the graphs of all targets that have an engine here, in turns; of the others only their sizes are told."""
    bundle = Bundle(folder)
    racers = [
        Racer(name, bundle, BACKENDS[name], name, SessionOptions(device="CPU", precision="float32"))
        for name in targets
        if name != "coreml"
    ]
    timed = race(racers) if racers else []
    sizes = [_unrun(bundle, name, graph) for name in targets if name == "coreml" for graph in GRAPH_NAMES]
    return (*timed, *sizes)


def _unrun(bundle: Bundle, target: str, graph: str) -> GraphQuality:
    spec, manifest = bundle.graphs(target)[graph], bundle.manifest
    size = sum(manifest.files[file].size for file in bundle.files_of(spec.path))
    cost = manifest.cost.get(graph) or {}
    return GraphQuality(target, graph, spec.precision, size, cost.get("macs"))


def machine() -> tuple[str, ...]:
    """Return lines about the exporting machine."""
    engines = ", ".join(
        f"{name} {package_version(name)}" for name in ("torch", "onnxruntime", "openvino", "nncf", "coremltools")
    )
    return (f"{platform.system()} {platform.machine()}, {cores()} of {os.cpu_count()} cores", engines)
