"""Show where a graph's time goes, by kind of operator: ``python -m benchmarks.operators a.cgsam --graph concept``.

The engines' own profilers measure; beside the time of products stands how near it is to the rate of plain products.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peaks
from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bench.tables import Table
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import CgsamError
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.runtimes import telemetry
from cgsam_edge.runtimes.registry import BACKENDS, target

ENGINES = ("openvino", "onnxruntime")
Feed = Mapping[str, Any]
Shape = Sequence[int]


@dataclass(frozen=True)
class Operator:
    """One operator of one run.

    Attributes:
        kind: as the engine calls it, with the kernel where it says so.
        seconds: that it took.
        macs: multiply-adds; 0 where it is no product.
    """

    kind: str
    seconds: float
    macs: int = 0


def product_macs(kind: str, inputs: Sequence[Shape], out: Shape) -> int:
    """Return the multiply-adds of an operator by its shapes; 0 where it is no product."""
    if "ScaledDotProductAttention" in kind:
        queries, keys = inputs[0], inputs[1]
        return prod(queries[:-1]) * keys[-2] * (queries[-1] + out[-1])
    if kind.startswith(("FullyConnected", "MatMulNBits", "Gemm")):
        return prod(out) * inputs[0][-1]
    if "MatMul" in kind:
        return prod(out) * (prod(inputs[0][-2:]) // out[-2])
    if kind.startswith("Conv"):
        return prod(out) * prod(inputs[1][1:])
    return 0


def on_openvino(path: Path, feed: Feed, *, reduced: bool, threads: int | None, runs: int) -> list[list[Operator]]:
    """Return the operators of each run on OpenVINO's CPU."""
    core = telemetry.load("openvino").Core()
    kind = "bf16" if reduced and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    wanted = {"PERF_COUNT": True, "INFERENCE_PRECISION_HINT": kind, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(str(path), "CPU", wanted | ({"INFERENCE_NUM_THREADS": threads} if threads else {}))
    shapes = {op.get_friendly_name(): _shapes(op) for op in compiled.get_runtime_model().get_ordered_ops()}
    request, made = compiled.create_infer_request(), []
    for _ in range(runs + 1):
        request.infer(feed)
        made.append([_of_openvino(one, shapes) for one in request.get_profiling_info()])
    return made[1:]


def _shapes(op: Any) -> tuple[list[list[int]], list[int]]:
    ins = [list(one.get_partial_shape().get_min_shape()) for one in op.inputs()]
    return ins, list(op.output(0).get_partial_shape().get_min_shape()) if op.get_output_size() else []


def _of_openvino(found: Any, shapes: Mapping[str, tuple[list[list[int]], list[int]]]) -> Operator:
    ins, out = shapes.get(found.node_name, ([], []))
    macs = product_macs(found.node_type, ins, out) if ins else 0
    return Operator(f"{found.node_type}, {found.exec_type}", found.real_time.total_seconds(), macs)


def on_onnxruntime(path: Path, feed: Feed, *, threads: int | None, runs: int) -> list[list[Operator]]:
    """Return the operators of each run on ONNX Runtime's CPU."""
    engine = telemetry.load("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        options = engine.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "run")
        options.intra_op_num_threads = threads or 0
        session = engine.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(runs + 1):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    each = [_of_onnxruntime(event) for event in events if event["name"].endswith("_kernel_time")]
    size = len(each) // (runs + 1)
    return [each[i : i + size] for i in range(size, len(each), size)]


def _of_onnxruntime(event: Mapping[str, Any]) -> Operator:
    args = event["args"]
    ins, outs = ([next(iter(one.values())) for one in args.get(f"{way}_type_shape", [])] for way in ("input", "output"))
    macs = product_macs(args["op_name"], ins, outs[0]) if ins and outs else 0
    return Operator(args["op_name"], event["dur"] / 1e6, macs)


def table(title: str, runs: Sequence[Sequence[Operator]], rate: float | None, least: float = 0.005) -> Table:
    """Return a row for each kind of operator, by the median of its time over the runs.

    Args:
        title: of the table.
        runs: operators of each run.
        rate: multiply-adds a second of plain products; None where it is not known.
        least: share of the whole below which kinds are joined.
    """
    times, macs, counts = _sums(runs)
    whole = sum(times.values())
    small = {kind for kind, seconds in times.items() if seconds < least * whole}
    rows = [
        (kind, str(counts[kind]), *_cells(times[kind], whole, macs[kind], rate))
        for kind in sorted(times.keys() - small, key=times.__getitem__, reverse=True)
    ]
    rest = sum(times[kind] for kind in small)
    rows.append(("the rest", str(sum(counts[kind] for kind in small)), *_cells(rest, whole, 0, rate)))
    rows.append(("together", str(sum(counts.values())), *_cells(whole, whole, sum(macs.values()), rate)))
    return Table(title, ("", "number", "ms", "share", "GMAC", "of the product rate"), tuple(rows))


def _sums(runs: Sequence[Sequence[Operator]]) -> tuple[dict[str, float], dict[str, int], dict[str, int]]:
    each: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(runs))
    macs: dict[str, int] = defaultdict(int)
    counts: dict[str, int] = defaultdict(int)
    for number, operators in enumerate(runs):
        for one in operators:
            each[one.kind][number] += one.seconds
            if not number:
                macs[one.kind] += one.macs
                counts[one.kind] += 1
    return {kind: float(np.median(times)) for kind, times in each.items()}, macs, counts


def _cells(seconds: float, whole: float, macs: int, rate: float | None) -> tuple[str, str, str, str]:
    near = f"{100 * macs / rate / seconds:.0f} %" if rate and macs and seconds else "–"
    return f"{1000 * seconds:.1f}", f"{100 * seconds / whole:.0f} %", f"{macs / 1e9:.1f}" if macs else "–", near


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operators", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--graph", choices=GRAPH_NAMES, default="concept", help="(default: concept)")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="(default: all)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: as the engines choose)")
    parser.add_argument("--runs", type=int, default=3, help="after the first; their medians count (default: 3)")
    parser.add_argument("--reduced", action="store_true", help="BF16 on OpenVINO where the processor has it")
    return parser.parse_args(arguments)


def tables(options: argparse.Namespace) -> Iterator[Table]:
    """Yield the table of each engine that the bundle has the graph for."""
    bundle, rates = Bundle(options.bundle), peaks.measure(options.threads)
    for engine in options.engine or ENGINES:
        held = target(BACKENDS[engine], bundle.manifest.targets)
        if not held or BACKENDS[engine].problem():
            continue
        spec, draw = bundle.graphs(str(held))[options.graph], np.random.default_rng(0)
        feed = {one.name: draw.random(one.shape, dtype=np.float32) for one in spec.inputs}
        given: dict[str, Any] = {"threads": options.threads, "runs": options.runs}
        path = bundle.path / spec.path
        reduced = options.reduced and engine == "openvino"
        found = (
            on_openvino(path, feed, reduced=reduced, **given)
            if engine == "openvino"
            else on_onnxruntime(path, feed, **given)
        )
        kind = "int8" if spec.precision == "int8" else "reduced" if reduced else "fp32"
        rate = rates[engine].get(kind)
        near = f"; products {rate / 1e9:.0f} GMAC/s in {kind}" if rate else ""
        yield table(f"{options.graph}, {spec.precision}, {engine}{', BF16' if reduced else ''}{near}", found, rate)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print Markdown."""
    options = parse(arguments)
    try:
        made = list(tables(options))
    except CgsamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    machine = Sensors().machine()
    print(f"{machine.processor}, {machine.cores} cores; noise for inputs\n")
    print("\n\n".join(one.markdown() for one in made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
