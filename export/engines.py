"""The engines of an export's targets on this machine: opening a target for the gate, and timing its graphs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from cgsam_edge.bundle import Bundle
from cgsam_edge.export.manifests import package_version
from cgsam_edge.export.mil.evaluator import EvaluatorBackend
from cgsam_edge.export.targets import COREML
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.quality.findings import GraphQuality
from cgsam_edge.quality.latency import Racer, race
from cgsam_edge.runtimes.protocol import SessionOptions, cores
from cgsam_edge.runtimes.registry import BACKENDS
from cgsam_edge.segmenter import Segmenter


def open_target(folder: Path, target: str) -> Segmenter:
    """Open one target of a bundle on the CPU, in float32 arithmetic; Core ML's in the evaluator.

    The engine is passed as an object, so that an unfinished bundle causes neither a trial in a child process nor an
    entry in the user's cache.
    """
    backend = EvaluatorBackend() if target == COREML else BACKENDS[target]
    return Segmenter(folder, backend=backend, device="cpu", precision="float32")


def time_targets(folder: Path, targets: Sequence[str]) -> tuple[GraphQuality, ...]:
    """Time, in turns, the graphs of all targets with an engine here; for other targets, return only the sizes."""
    bundle = Bundle(folder)
    racers = [
        Racer(name, bundle, BACKENDS[name], name, SessionOptions(device="CPU", precision="float32"))
        for name in targets
        if name != COREML
    ]
    timed = race(racers) if racers else []
    sizes = [_untimed(bundle, name, graph) for name in targets if name == COREML for graph in GRAPH_NAMES]
    return (*timed, *sizes)


def _untimed(bundle: Bundle, target: str, graph: str) -> GraphQuality:
    spec, manifest = bundle.graphs(target)[graph], bundle.manifest
    size = sum(manifest.files[file].size for file in bundle.files_of(spec.path))
    return GraphQuality(target, graph, spec.precision, size, manifest.macs(graph))


def machine() -> tuple[str, ...]:
    """Return lines about the exporting machine and its engines."""
    engines = ", ".join(
        f"{name} {package_version(name)}" for name in ("torch", "onnxruntime", "openvino", "nncf", "coremltools")
    )
    return (f"{platform.system()} {platform.machine()}, {cores()} of {os.cpu_count()} cores", engines)
