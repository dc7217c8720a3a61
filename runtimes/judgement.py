"""Whether opened graphs compute what PyTorch computed: a bundle's examples, run and compared."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.arithmetic import summary
from cgsam_edge.bundle import Bundle
from cgsam_edge.examples import EXAMPLES_FILE, Examples, limit, replay
from cgsam_edge.manifest import GraphSpec
from cgsam_edge.runtimes.placement import Attempt, Candidate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Session

    Float = NDArray[np.float32]
    Say = Callable[[dict[str, Any]], object]

_LONG_RUN = 1.0
"""Seconds; if the first run takes longer, it is the measurement."""

REPEATS = 5
"""Number of runs after the first; the shortest counts."""


def load_examples(bundle: Bundle) -> Examples | None:
    """Return a bundle's examples; None if an older version wrote it without any.

    Raises:
        BundleError: they are damaged.
    """
    if EXAMPLES_FILE not in bundle.manifest.files:
        return None
    bundle.verify([EXAMPLES_FILE])
    return Examples.load(bundle.path / EXAMPLES_FILE)


def replay_on(
    candidate: Candidate,
    bundle: Bundle,
    examples: Examples | None,
    sessions: Mapping[str, Session],
    say: Say = lambda _: None,
    repeats: int = 0,
) -> Attempt:
    """Run the examples on opened graphs, compare and measure; without examples, check that zeros give finite outputs.

    Args:
        candidate: where the graphs were opened.
        bundle: of the graphs.
        examples: of the bundle.
        sessions: the opened graphs, in the order in which to run them.
        say: receives the name of each step.
        repeats: repetitions of each run, to measure its time.

    Raises:
        BackendError: the engine failed.
    """
    specs = bundle.graphs(candidate.target)
    times: dict[str, float] = {}

    def run(graph: str, inputs: dict[str, Float]) -> dict[str, Float]:
        say({"step": f"running the graph {graph!r}"})
        out, times[graph] = _timed(lambda: sessions[graph].run(inputs), repeats)
        return out

    computed = {graph: session.facts().precision for graph, session in sessions.items()}
    precision = summary(computed)
    if examples is None:
        return Attempt(candidate, _finite(specs, sessions, run), _milliseconds(times), precision=precision)
    names = {graph: [tensor.name for tensor in specs[graph].inputs] for graph in sessions}
    found = replay(examples, names, bundle.manifest.geometry.image_size, run)
    limits = {graph: limit(specs[graph].precision, computed[graph]) for graph in sessions}
    allowed = _allowed(limits, bundle.manifest.graph_names)
    return Attempt(
        candidate,
        next((problem for graph, one in found.items() if (problem := _problem(one, allowed[graph]))), ""),
        _milliseconds(times),
        {graph: one.rms_error if math.isfinite(one.rms_error) else -1.0 for graph, one in found.items()},
        found["decoder"].mask_iou,
        precision,
        limit=max(allowed.values()),
    )


def _allowed(limits: Mapping[str, float], of_picture: Sequence[str]) -> dict[str, float]:
    """Return what each graph's outputs may be off by: its own limit, or that of a graph before it, which it takes.

    Args:
        limits: by graph, in the order in which they run.
        of_picture: the graphs that a picture goes through; those of text take nothing from them.
    """
    chain = [graph for graph in limits if graph in of_picture]
    return {**limits, **dict(zip(chain, accumulate((limits[graph] for graph in chain), max), strict=True))}


def _problem(found: Any, allowed: float) -> str:
    if not found.finite:
        return f"rejected: the graph {found.graph!r} returned NaN or infinity"
    if not found.rms_error <= allowed:
        return (
            f"rejected: the graph {found.graph!r} disagrees with PyTorch: error {found.rms_error:.1e} of the standard "
            f"deviation, limit {allowed:.0e}"
        )
    return ""


def _finite(
    specs: Mapping[str, GraphSpec],
    sessions: Mapping[str, Session],
    run: Callable[[str, dict[str, Float]], dict[str, Float]],
) -> str:
    for graph in sessions:
        out = run(graph, {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in specs[graph].inputs})
        if not all(np.isfinite(array).all() for array in out.values()):
            return f"rejected: the graph {graph!r} returned NaN or infinity"
    return ""


def _milliseconds(times: Mapping[str, float]) -> dict[str, float]:
    return {graph: 1000 * seconds for graph, seconds in times.items()}


def _timed(run: Callable[[], dict[str, Float]], repeats: int) -> tuple[dict[str, Float], float]:
    """Return the result of a run and its seconds: the lowest of a few more runs, if the first is short.

    Other load only adds to a time, so the lowest distinguishes engines best.
    """
    start = time.perf_counter()
    out = run()
    first = time.perf_counter() - start
    if first > _LONG_RUN or not repeats:
        return out, first
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return out, min(times)
