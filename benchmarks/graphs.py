"""Time each graph of bundles on each engine, in turns: ``python -m benchmarks.graphs fp32.cgsam int8.cgsam``.

Times of the other bundles are divided by those of the first, engine by engine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bench.tables import Table
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import CgsamError, InputError
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.quality.findings import GraphQuality
from cgsam_edge.quality.latency import Racer, race
from cgsam_edge.runtimes.protocol import Backend, SessionOptions
from cgsam_edge.runtimes.registry import BACKENDS, target

_ARITHMETICS = ("float32", "reduced")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graphs", description=__doc__)
    parser.add_argument(
        "bundles", nargs="+", type=Path, help="bundles; the others' times are divided by the first one's"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: as the engines choose)")
    parser.add_argument(
        "--runs", type=int, default=9, help="number of turns of each graph after the first (default: 9)"
    )
    parser.add_argument(
        "--arithmetic",
        default="float32",
        help=f"arithmetic of what is not INT8, separated by commas: {', '.join(_ARITHMETICS)} (default: float32)",
    )
    return parser.parse_args(arguments)


def racers(options: argparse.Namespace) -> list[Racer]:
    """Return each bundle on each engine in each arithmetic; an engine that cannot open one is left out.

    Raises:
        InputError: no engine opens any of them, or there is no such arithmetic.
        BundleError: a bundle cannot be read.
    """
    wanted = options.arithmetic.split(",")
    for word in wanted:
        if word not in _ARITHMETICS:
            raise InputError(f"no arithmetic {word!r}; expected some of {', '.join(_ARITHMETICS)}.")
    if options.runs < 1:
        raise InputError(f"--runs must be 1 or more, got {options.runs}.")
    bundles = [Bundle(path) for path in options.bundles]
    ready = [one for one in BACKENDS.values() if not one.problem()]
    made = [one for engine in ready for bundle in bundles for one in _of(engine, bundle, wanted, options.threads)]
    if not made:
        raise InputError("no engine of this machine opens any of these bundles.")
    return made


def _of(engine: Backend, bundle: Bundle, arithmetics: Sequence[str], threads: int | None) -> Iterator[Racer]:
    held = target(engine, bundle.manifest.targets)
    for precision in arithmetics if held else ():
        name = f"{bundle.path.name}, {engine.name}, {precision}"
        yield Racer(name, bundle, engine, str(held), SessionOptions(threads=threads, precision=precision))


def table(graph: str, found: Sequence[GraphQuality], ways: Sequence[Racer]) -> Table:
    """Return a row for each way to compute the graph."""
    firsts: dict[str, float] = {}
    rows = []
    having = [way for way in ways if graph in way.bundle.manifest.graph_names]
    for one, way in zip([one for one in found if one.graph == graph], having, strict=True):
        assert one.latency is not None
        first = firsts.setdefault(way.backend.name, one.latency.warm)
        error = "–" if one.error is None else f"{one.error:.1e}"
        times = (f"{1000 * one.latency.warm:.1f}", f"{first / one.latency.warm:.2f}")
        rows.append((one.target, one.precision, *times, f"{one.bytes / 1e6:.1f}", error))
    return Table(graph, ("", "precision", "median, ms", "times as fast", "MB", "error"), tuple(rows))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print Markdown."""
    try:
        options = parse(arguments)
        ways = racers(options)
        found = race(ways, options.runs)
    except CgsamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    machine = Sensors().machine()
    threads = f"{options.threads} threads" if options.threads else "threads as the engines choose"
    print(f"{machine.processor}, {machine.cores} cores; {threads}; medians of {options.runs} runs, in turns\n")
    print(
        "\n\n".join(
            table(graph, found, ways).markdown() for graph in GRAPH_NAMES if any(one.graph == graph for one in found)
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
