"""Run bundles on a GPU through ONNX Runtime, against the same machine's CPU: ``python -m benchmarks.cuda a.cgsam``.

Each bundle is opened as a user opens it, in the device's default arithmetic and in the reduced one. Shown are where its
graphs run, how its masks agree with those of the CPU in float32, and what a concept takes. ``--device cpu`` rehearses.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.on_device import CPU_SIDE, Agreement, Graph, Pair, Times, agreement, expected, graphs, scenes, times
from cgsam_edge import shipped
from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bench.tables import Table
from cgsam_edge.errors import CgsamError, InputError
from cgsam_edge.files import write_beside
from cgsam_edge.quality.scenes.render import Scene
from cgsam_edge.runtimes import telemetry
from cgsam_edge.segmenter import Segmenter

ENGINE = "onnxruntime"
ARITHMETICS = ("default", "reduced")

_HEAD = (
    "",
    "computes in",
    "on the CPU",
    "mask IoU",
    "worst",
    "own points",
    "logits differ",
    "one concept, ms",
    "CPU, ms",
    "a further one, ms",
    "CPU, ms",
    "GPU memory, MB",
)


@dataclass(frozen=True)
class Row:
    """What was found of a bundle on a device.

    Attributes:
        bundle: name of its folder.
        device: as the command line names it.
        wanted: requested arithmetic, see `SessionOptions`.
        problem: why there is nothing more; empty if there is.
        computed: arithmetic that the graphs compute in, as measured.
        opening: seconds to open it; the first time, that includes a trial in a child process.
        warnings: that a user would see.
        graphs: where they run.
        agreement: with the CPU.
        times: of a concept on the device.
        cpu_times: likewise on the CPU, in turns with the device.
        memory: bytes by which the GPU's used memory rose while the bundle was open; None where nothing tells.
    """

    bundle: str
    device: str
    wanted: str
    problem: str = ""
    computed: str = ""
    opening: float = 0.0
    warnings: tuple[str, ...] = ()
    graphs: tuple[Graph, ...] = ()
    agreement: Agreement | None = None
    times: Times | None = None
    cpu_times: Times | None = None
    memory: int | None = None


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda", description=__doc__)
    parser.add_argument("bundles", nargs="*", type=Path, help="with graphs for ONNX Runtime (default: the shipped one)")
    parser.add_argument("--device", action="append", help="as cgsam doctor lists it; may be repeated (default: cuda)")
    parser.add_argument("--scenes", type=int, default=20, help="rendered scenes to compare masks on (default: 20)")
    parser.add_argument("--runs", type=int, default=20, help="turns of which the median is taken (default: 20)")
    parser.add_argument(
        "--seconds", type=float, default=12, help="after which a comparison, or the turns, end early (default: 12)"
    )
    parser.add_argument("--output", type=Path, default=Path("cuda.json"), help="the file of results")
    return parser.parse_args(arguments)


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Yield what was found, bundle by bundle; what cannot be opened has a row that says why."""
    pictures = scenes(options.scenes)
    for bundle in options.bundles or [shipped.BUNDLE]:
        yield from _of_bundle(bundle, pictures, options)


def _of_bundle(bundle: Path, pictures: Sequence[Scene], options: argparse.Namespace) -> Iterator[Row]:
    try:
        with Segmenter(bundle, backend=ENGINE, **CPU_SIDE) as cpu:
            pairs = expected(cpu, pictures, options.seconds)
            for device in options.device or ["cuda"]:
                for wanted in ARITHMETICS:
                    yield _row(bundle, device, wanted, partial(_found, cpu=cpu, pairs=pairs, options=options))
    except CgsamError as error:
        yield Row(bundle.name, "", "", str(error))


def _row(bundle: Path, device: str, wanted: str, find: Callable[[Segmenter, str], dict[str, Any]]) -> Row:
    head = Row(bundle.name, device, wanted)
    print(f"{bundle.name} on {device}, {wanted} …", file=sys.stderr, flush=True)
    before = gpu_memory()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            start = time.perf_counter()
            with Segmenter(bundle, backend=ENGINE, device=device, precision=wanted) as segmenter:
                opening = time.perf_counter() - start
                found, after = find(segmenter, wanted), gpu_memory()
        except Exception as error:  # those of engines have no common base class; the next row may succeed
            return replace(head, problem=f"{type(error).__name__}: {error}")
    memory = None if before is None or after is None else after - before
    heard = tuple(dict.fromkeys(str(one.message) for one in told))
    return replace(head, **found, opening=opening, memory=memory, warnings=heard)


def _found(
    segmenter: Segmenter, wanted: str, cpu: Segmenter, pairs: Sequence[Pair], options: argparse.Namespace
) -> dict[str, Any]:
    taken = times((segmenter, cpu), pairs[0].picture, options.runs, options.seconds)
    return {
        "computed": segmenter.placement.precision,
        "graphs": graphs(segmenter, wanted),
        "agreement": agreement(segmenter, pairs),
        "times": taken[0],
        "cpu_times": taken[1],
    }


def gpu_memory() -> int | None:
    """Return the bytes of the first GPU that all programs hold; None where NVIDIA's tool does not report them."""
    with suppress(ValueError):
        return int(_driver("memory.used").removesuffix(" MiB")) * 2**20
    return None


def _driver(query: str) -> str:
    """Ask NVIDIA's tool about the first GPU; return an empty text where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    command = [tool, f"--query-gpu={query}", "--format=csv,noheader", "--id=0"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    return ""


def machine() -> dict[str, Any]:
    """Return the names of processor, GPU and driver, and the engine's version."""
    engine, found = telemetry.load(ENGINE), Sensors().machine()
    return {
        "processor": found.processor,
        "cores": found.cores,
        "gpu": _driver("name,driver_version,memory.total"),
        "engine": f"{ENGINE} {engine.__version__}",
        "cuda": str(getattr(engine, "cuda_version", "") or ""),
        "providers": engine.get_available_providers(),
    }


def table(found: Sequence[Row]) -> Table:
    """Return a line for each row."""
    return Table("the device against the CPU in float32", _HEAD, tuple(_cells(row) for row in found))


def _cells(row: Row) -> tuple[str, ...]:
    name = ", ".join(filter(None, (row.bundle, row.device, row.wanted)))
    if row.agreement is None or row.times is None or row.cpu_times is None:
        return (name, row.problem, *[""] * (len(_HEAD) - 2))
    one, elsewhere = row.agreement, sum(sum(graph.elsewhere.values()) for graph in row.graphs)
    return (
        name,
        row.computed,
        f"{elsewhere} of {sum(sum(graph.nodes.values()) for graph in row.graphs)} nodes",
        f"{one.mean_iou:.5f}",
        f"{one.worst_iou:.5f}",
        f"{one.own_mean_iou:.5f}",
        f"{one.max_difference:.2g}",
        *(f"{value:.1f}" for value in (row.times.one, row.cpu_times.one, row.times.further, row.cpu_times.further)),
        "–" if row.memory is None else f"{row.memory / 1e6:.0f}",
    )


def _keep(path: Path, found: dict[str, Any]) -> None:
    text = json.dumps(found, indent=1) + "\n"
    write_beside(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print Markdown, and keep each row as soon as it is there."""
    options = parse(arguments)
    try:
        if min(options.scenes, options.runs) < 1:
            raise InputError(f"--scenes and --runs must be 1 or more, got {options.scenes} and {options.runs}.")
        where, made = machine(), list[Row]()
        for row in rows(options):
            made.append(row)
            _keep(options.output, {**where, "rows": [asdict(one) for one in made]})
    except CgsamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{where['gpu'] or 'no GPU'}; {where['processor']}, {where['cores']} cores; {where['engine']}\n")
    print(table(made).markdown())
    return 0 if all(not row.problem for row in made) else 1


if __name__ == "__main__":
    sys.exit(main())
