"""Known or possible problems of a package on Apple's units, as warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgsam_edge.export.mil.evaluator import dtype_name

HALF_MAX = 65504.0
HALF_NORMAL = 2.0**-14
"""Smallest normal float16; engines may flush smaller values to zero."""

MAX_RANK = 5

_DYNAMIC = {"shape", "range_1d", "while_loop", "cond", "fill", "fill_like", "reshape_like", "random_uniform"}
_INDEXED = {"non_zero", "gather_nd", "non_maximum_suppression", "topk", "argsort"}


@dataclass(frozen=True)
class Finding:
    """A warning about a package.

    Attributes:
        graph: "clip", "image", "concept" or "decoder".
        rule: "dynamic shape", "data dependent", "dtype", "epsilon", "headroom" or "rank".
        message: what was found, where, and why it matters.
    """

    graph: str
    rule: str
    message: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.graph}: {self.rule}: {self.message}"


def lint(function: Any, graph: str, precision: str, peaks: Mapping[str, float] | None = None) -> list[Finding]:
    """Check a program.

    Args:
        function: as `load_function` gives it.
        graph: its name, for the findings.
        precision: "fp16" or "fp32", that of the package.
        peaks: largest magnitude of values by name, from a run.
    """
    operations = [op for op in function.operations if op.op_type != "const"]
    found = [*_operators(operations), *_ranks(operations)]
    if precision == "fp16":
        found += [*_dtypes(operations, {var.name for var in function.outputs}), *_epsilons(operations)]
        found += _headroom(peaks or {})
    return [Finding(graph, rule, message) for rule, message in found]


def _operators(operations: list[Any]) -> Iterator[tuple[str, str]]:
    counts = Counter(op.op_type for op in operations)
    for kind, count in counts.items():
        if kind in _DYNAMIC:
            yield "dynamic shape", f"{count} × {kind}: shapes that are computed keep a graph off the Neural Engine"
        elif kind in _INDEXED or kind.startswith("scatter"):
            yield "data dependent", f"{count} × {kind}: runs on the CPU, with copies before and after"
    for op in operations:
        for var in op.outputs:
            if any(not isinstance(size, (int, np.integer)) for size in _shape(var)):
                yield "dynamic shape", f"{op.op_type} makes {var.name!r} of shape {tuple(map(str, _shape(var)))}"


def _ranks(operations: list[Any]) -> Iterator[tuple[str, str]]:
    for op in operations:
        for var in op.outputs:
            if len(_shape(var)) > MAX_RANK:
                yield "rank", f"{op.op_type} makes {var.name!r} of rank {len(_shape(var))}; Core ML ends at {MAX_RANK}"


def _dtypes(operations: list[Any], borders: set[str]) -> Iterator[tuple[str, str]]:
    """Yield types of inner values other than float16 and bool, the type of comparisons."""
    wide = Counter(
        (op.op_type, dtype_name(var))
        for op in operations
        for var in op.outputs
        if var.name not in borders and dtype_name(var) not in ("fp16", "bool")
    )
    for (kind, dtype), count in wide.items():
        yield "dtype", f"{count} × {kind} in {dtype}: the Neural Engine computes in float16 alone"


def _epsilons(operations: list[Any]) -> Iterator[tuple[str, str]]:
    found: Counter[tuple[str, float]] = Counter()
    for op in operations:
        value = _epsilon(op)
        if value is not None and value < HALF_NORMAL:
            found[op.op_type, value] += 1
    for fate, flushed in (("is zero", True), ("is subnormal, which some units take for zero", False)):
        which = {key: n for key, n in found.items() if (float(np.float16(key[1])) == 0) is flushed}
        if which:
            told = ", ".join(f"{n} × {kind} with {value:.1e}" for (kind, value), n in which.items())
            yield "epsilon", f"{told}: in float16 that {fate}"


def _epsilon(op: Any) -> float | None:
    """Return the epsilon of a norm, or the small constant that is added to a value."""
    names = ("epsilon",) if "epsilon" in op.inputs else ("x", "y") if op.op_type == "add" else ()
    for name in names:
        value = getattr(op.inputs.get(name), "val", None)
        if value is not None and np.ndim(value) == 0 and (name == "epsilon" or value > 0):
            return float(value)
    return None


def _headroom(peaks: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    if not peaks:
        return
    name, peak = max(peaks.items(), key=lambda item: np.inf if np.isnan(item[1]) else item[1])
    if not peak <= HALF_MAX / 2:
        verdict = "overflows" if not peak <= HALF_MAX else "is over half of what fits"
        yield "headroom", f"{name!r} reaches {peak:.3g}: {verdict} in float16, which ends at {HALF_MAX:.0f}"


def _shape(var: Any) -> tuple[Any, ...]:
    return tuple(var.shape or ())
