"""The time of each graph of some bundles on this machine, measured in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cgsam_edge.bundle import Bundle
from cgsam_edge.examples import EXAMPLES_FILE, Examples, compare
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.quality.findings import GraphQuality, Latency
from cgsam_edge.runtimes.protocol import Backend, Session, SessionOptions
from cgsam_edge.runtimes.proven import options_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

RUNS = 5

Made = TypeVar("Made")


@dataclass
class Racer:
    """A bundle on an engine.

    Attributes:
        name: name in the tables.
        bundle: the bundle.
        backend: the engine.
        target: which of the bundle's folders of graphs it opens.
        options: session options. No cache is used, so opening is measured as on a new device.
        made: outputs of the graphs so far, which are inputs of the next ones.
    """

    name: str
    bundle: Bundle
    backend: Backend
    target: str
    options: SessionOptions
    made: dict[str, Float] = field(default_factory=dict)


def race(racers: Sequence[Racer], runs: int = RUNS) -> list[GraphQuality]:
    """Measure all graphs on the bundles' examples, and the difference of their outputs from PyTorch's.

    Every racer opens a graph and runs it once; then they take turns, so that disturbances of the machine affect all of
    them. A bundle without examples gets noise of the right shapes, and its error is None.

    Args:
        racers: what to measure; each can be used only once.
        runs: number of runs after the first one; their median is taken.

    Raises:
        BackendError: an engine cannot open or run a graph.
        BundleError: a file of a bundle is missing or altered.
    """
    examples = [_examples(racer.bundle) for racer in racers]
    found = [_heat(graph, racers, examples, runs) for graph in GRAPH_NAMES]
    return [of_graph[i] for i in range(len(racers)) for of_graph in found if i in of_graph]


def _heat(
    graph: str, racers: Sequence[Racer], examples: Sequence[Examples | None], runs: int
) -> dict[int, GraphQuality]:
    """Return what was measured by the place of the racer; a bundle of format 1 has no graph "clip"."""
    with ExitStack() as stack:
        starts = {
            i: _start(graph, racer, known, stack)
            for i, (racer, known) in enumerate(zip(racers, examples, strict=True))
            if graph in racer.bundle.manifest.graph_names
        }
        warm = [[_timed(start.run)[1] for start in starts.values()] for _ in range(runs)]
    medians = np.median(warm, axis=0).tolist()
    return {i: _quality(graph, racers[i], start, w) for (i, start), w in zip(starts.items(), medians, strict=True)}


@dataclass(frozen=True)
class _Start:
    """A graph that was opened and ran once: the times, its error, and how to run it again."""

    open: float
    first: float
    error: float | None
    run: Callable[[], dict[str, Float]]


def _start(graph: str, racer: Racer, examples: Examples | None, stack: ExitStack) -> _Start:
    inputs = _inputs(graph, racer, examples)
    path = racer.bundle.verified_graph(racer.target, graph)
    options = options_for(racer.bundle, racer.target, graph, racer.options)
    session, opened = _timed(lambda: racer.backend.open(path, options))
    stack.callback(session.close)
    out, first = _timed(lambda: session.run(inputs))
    racer.made.update(out)
    known = examples.outputs.get(graph) if examples else None
    error = compare(graph, known, out).rms_error if known else None
    return _Start(opened, first, error, _again(session, inputs))


def _again(session: Session, inputs: dict[str, Float]) -> Callable[[], dict[str, Float]]:
    return lambda: session.run(inputs)


def _inputs(graph: str, racer: Racer, examples: Examples | None) -> dict[str, Float]:
    specs = racer.bundle.graphs(racer.target)[graph].inputs
    if examples is not None:
        size = racer.bundle.manifest.geometry.image_size
        return examples.feed(graph, [spec.name for spec in specs], racer.made, size)
    rng = np.random.default_rng(0)
    return {spec.name: rng.random(spec.shape, dtype=np.float32) for spec in specs}


def _examples(bundle: Bundle) -> Examples | None:
    if EXAMPLES_FILE not in bundle.manifest.files:
        return None
    bundle.verify([EXAMPLES_FILE])
    return Examples.load(bundle.path / EXAMPLES_FILE)


def _timed(work: Callable[[], Made]) -> tuple[Made, float]:
    start = time.perf_counter()
    made = work()
    return made, time.perf_counter() - start


def _quality(graph: str, racer: Racer, start: _Start, warm: float) -> GraphQuality:
    spec, manifest = racer.bundle.graphs(racer.target)[graph], racer.bundle.manifest
    return GraphQuality(
        racer.name,
        graph,
        spec.precision,
        sum(manifest.files[file].size for file in racer.bundle.files_of(spec.path)),
        manifest.macs(graph),
        start.error,
        Latency(start.open, start.first, warm),
    )
