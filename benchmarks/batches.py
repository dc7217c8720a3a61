"""Measure several concepts in one run of the engine: ``python -m benchmarks.batches --model scenes --sizes 1,2,4``.

The concept graph is exported for each size of batch, and all run in turns; the result is the time of one concept.
The first concepts of a batch are the same in all, and their outputs are compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import models
from cgsam_edge.agreement import deviation
from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bench.tables import Table
from cgsam_edge.errors import BackendError, CgsamError, InputError
from cgsam_edge.runtimes.protocol import Session, SessionOptions
from cgsam_edge.runtimes.registry import BACKENDS

if TYPE_CHECKING:
    from cgsam_edge.export.graphs.build import Graph
    from cgsam_edge.runtimes.protocol import Arrays

OF_THE_CONCEPT = ("similarity", "text_row")
"""Inputs that differ by concept; the others belong to the image."""

WAYS = (("onnxruntime", "float32"), ("openvino", "float32"), ("openvino", "reduced"))
"""Engines and their arithmetic."""

_CLOSE = {"float32": 1e-3, "reduced": 0.5}
"""Largest difference of one concept between two batches, in standard deviations of the embedding."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batches", description=__doc__)
    held = ", ".join(models.NAMES)
    parser.add_argument("--model", default="scenes", help=f"{held}, or the file of a checkpoint (default: scenes)")
    parser.add_argument("--sizes", default="1,2,4", help="numbers of concepts in a run, with commas (default: 1,2,4)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: as the engines choose)")
    parser.add_argument("--runs", type=int, default=9, help="number of turns of each size after the first (default: 9)")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Batch:
    """A graph for several concepts at once.

    Attributes:
        size: number of concepts.
        folder: its folder, laid out as a bundle.
        inputs: seeded examples by name; those of the first concepts are the same in all batches.
    """

    size: int
    folder: Path
    inputs: Arrays


def batches(checkpoint: Path, sizes: Sequence[int], folder: Path) -> list[Batch]:
    """Write the graphs.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ExportError: a graph cannot be converted.
    """
    from cgsam_edge.export.graphs.build import build_graphs
    from cgsam_edge.export.loading import load_reference

    graph = build_graphs(load_reference(checkpoint)).concept
    most = {name: value.numpy() for name, value in _sized(graph, max(sizes)).example().items()}
    return [_batch(_sized(graph, size), size, folder / str(size), most) for size in sizes]


def _sized(graph: Graph, size: int) -> Graph:
    shapes = {n: (size, *shape[1:]) if n in OF_THE_CONCEPT else shape for n, shape in graph.inputs.items()}
    return replace(graph, inputs=shapes)


def _batch(graph: Graph, size: int, folder: Path, most: Arrays) -> Batch:
    from cgsam_edge.export.targets import TARGETS

    for target in sorted({engine for engine, _ in WAYS}):
        folder.mkdir(exist_ok=True)
        TARGETS[target].convert(graph, folder, "fp32")
    return Batch(size, folder, {name: array[: graph.inputs[name][0]] for name, array in most.items()})


def measure(engine: str, arithmetic: str, given: Sequence[Batch], threads: int | None, runs: int) -> list[float]:
    """Return the milliseconds of one concept in each batch.

    Raises:
        BackendError: the engine cannot open a graph, or a concept differs between batches.
    """
    backend, suffix = BACKENDS[engine], {"onnxruntime": "onnx", "openvino": "xml"}[engine]
    options = SessionOptions(threads=threads, device="CPU", precision=arithmetic)
    with ExitStack() as stack:
        opened = [backend.open(one.folder / engine / f"concept.{suffix}", options) for one in given]
        sessions = [stack.enter_context(closing(session)) for session in opened]
        _check(sessions, given, _CLOSE[arithmetic])
        taken: list[list[float]] = [[] for _ in given]
        for _ in range(runs):
            for one, session, times in zip(given, sessions, taken, strict=True):
                start = time.perf_counter()
                session.run(one.inputs)
                times.append(1000 * (time.perf_counter() - start) / one.size)
    return [median(times) for times in taken]


def _check(sessions: Sequence[Session], given: Sequence[Batch], limit: float) -> None:
    made = [session.run(one.inputs)["image_embedding"] for one, session in zip(given, sessions, strict=True)]
    for before, after in pairwise(made):
        held = min(len(before), len(after))
        error = deviation(before[:held], after[:held]).max
        if not error < limit:
            sizes = f"{len(before)} and {len(after)}"
            raise BackendError(f"the first concepts of batches of {sizes} are {error:.1e} standard deviations apart.")


def _rows(given: Sequence[Batch], threads: int | None, runs: int) -> Iterator[tuple[str, ...]]:
    for engine, arithmetic in WAYS:
        if BACKENDS[engine].problem():
            continue
        times = measure(engine, arithmetic, given, threads, runs)
        shares = [f"{time:.1f} ({time / times[0]:.2f})" for time in times]
        yield (f"{engine}, {arithmetic}", *shares)


def sizes_of(told: str) -> list[int]:
    """Read the sizes.

    Raises:
        InputError: they are not whole numbers of 1 or more.
    """
    words = [word.strip() for word in told.split(",")]
    if not all(word.isdecimal() and int(word) for word in words):
        raise InputError(f"--sizes must be whole numbers of 1 or more, separated by commas, got {told!r}.")
    return [int(word) for word in words]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print Markdown."""
    options = parse(arguments)
    try:
        sizes = sizes_of(options.sizes)
        if options.runs < 1:
            raise InputError(f"--runs must be 1 or more, got {options.runs}.")
        with TemporaryDirectory() as folder:
            checkpoint = models.checkpoint(options.model, Path(folder))
            rows = tuple(_rows(batches(checkpoint, sizes, Path(folder)), options.threads, options.runs))
    except CgsamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    machine = Sensors().machine()
    threads = f"{options.threads} threads" if options.threads else "threads as the engines choose"
    print(f"{machine.processor}, {machine.cores} cores; {threads}; medians of {options.runs} runs, in turns\n")
    title = f"{options.model}: ms for one concept, and their ratio to a batch of {sizes[0]}"
    print(Table(title, ("", *(f"{size} at once" for size in sizes)), rows).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
