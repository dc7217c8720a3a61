"""Core ML packages with 8-bit weights, 8-bit weights and activations, or weights from palettes.

coremltools compresses the linear layers of a written package; everything else stays in half precision. It can only
measure activations on a Mac: here the MIL evaluator measures them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import CgsamError, ExportError, InputError
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.mil.compress import FOLLOWED, Ranges, small_activations, small_weights
from cgsam_edge.export.mil.linears import find_linears
from cgsam_edge.export.mil.lint import HALF_MAX
from cgsam_edge.export.mil.package import load_function, read_spec
from cgsam_edge.export.mil.ranges import Feeds, measure_ranges, no_feeds
from cgsam_edge.export.mil.tools import coremltools, quiet
from cgsam_edge.export.targets import COREML_INT8, DEFAULT_COREML_INT8
from cgsam_edge.export.targets.coreml import make_reproducible
from cgsam_edge.staging import replace_folder

if TYPE_CHECKING:
    from cgsam_edge.export.graphs.build import Graph
    from cgsam_edge.manifest import GraphSpec

_PALETTE_BITS = {"palette6": 6, "palette4": 4}
_IOS_17 = 8
"""The specification version of the first iOS with quantised activations."""


@dataclass(frozen=True)
class _Job:
    """A package, and its operators to compress.

    Attributes:
        path: the ``.mlpackage``.
        kind: one of `COREML_INT8`.
        operators: the linear operators to compress, with the names of their layers.
    """

    path: Path
    kind: str
    operators: tuple[tuple[str, Any], ...]


def quantise(
    graph: Graph,
    folder: Path,
    spec: GraphSpec,
    *,
    coreml_int8: str = DEFAULT_COREML_INT8,
    in_float: frozenset[str] = frozenset(),
    feeds: Feeds = no_feeds,
) -> GraphSpec:
    """Compress the layers of a package that `quantisable` names, in place; inputs and outputs stay float32.

    Of several layers with equal weights, coremltools stores only one copy; none of them is compressed if one of them is
    kept in half precision. The present package stays until the new one is complete.

    Args:
        graph: the graph from which the package was converted.
        folder: the bundle being written.
        spec: spec of the package, in half precision.
        coreml_int8: "weights" has a scale for each output channel, "w8a8" also rounds the inputs and outputs of a layer
            to 8 bits, "palette6" and "palette4" choose among 64 and 16 values per layer.
        in_float: layers to keep in half precision.
        feeds: samples of the graph's inputs, float32, with which "w8a8" measures ranges.

    Returns:
        The package's spec, with its new precision; unchanged if there was no layer to compress.

    Raises:
        InputError: no such kind or layer, the package is not in half precision, its iOS version lacks the kind, or the
            samples are missing or do not fit.
        ExportError: a layer is not in the package, a weight or a measured value is not finite, or coremltools failed.
    """
    layers, path = quantisable(graph), folder / spec.path
    _check(graph, spec, coreml_int8, in_float, list(layers))
    if not layers.keys() - in_float:
        return spec
    _check_ios(path, coreml_int8)
    _check_weights(graph.name, layers, in_float)
    job = _Job(path, coreml_int8, _chosen(find_linears(load_function(path), layers, path), in_float))
    if not job.operators:
        return spec
    _rewrite(job, _measured(job, feeds) if job.kind == "w8a8" else {})
    return replace(spec, precision=COREML_INT8[job.kind])


def _check(graph: Graph, spec: GraphSpec, kind: str, in_float: frozenset[str], layers: list[str]) -> None:
    if kind not in COREML_INT8:
        raise InputError(
            f"Core ML packages have no kind {kind!r} of quantisation; expected one of {', '.join(COREML_INT8)}."
        )
    unknown = sorted(in_float.difference(layers))
    if unknown:
        known = ", ".join(layers) or "none"
        raise InputError(
            f"the graph {graph.name!r} has no layer {unknown[0]!r} to keep in higher precision; it has: {known}."
        )
    if spec.precision != "fp16":
        raise InputError(
            f"{spec.path}: only fp16 can be quantised, and this is {spec.precision}. Convert the graph again."
        )


def _check_ios(path: Path, kind: str) -> None:
    if kind == "w8a8" and read_spec(path).specificationVersion < _IOS_17:
        raise InputError(
            f"{path.name}: quantised activations (w8a8) need iOS 17, and the package is for an older version. Export "
            "for "
            "iOS 17 or 18, or quantise weights alone."
        )


def _check_weights(graph: str, layers: Mapping[str, Any], in_float: frozenset[str]) -> None:
    for name, layer in layers.items():
        weight, where = layer.weight.detach().half(), f"the layer {name!r} of the graph {graph!r} has a weight"
        if weight.isnan().any():
            raise ExportError(f"{where} that is NaN. The checkpoint is damaged.")
        if name not in in_float and weight.isinf().any():
            raise ExportError(
                f"{where} that half precision cannot represent, so there is no 8-bit scale. Keep {name!r} in higher "
                "precision."
            )


def _chosen(found: Mapping[str, list[Any]], in_float: frozenset[str]) -> tuple[tuple[str, Any], ...]:
    """Return the operators to compress, each once; weights shared with a layer in float are left out."""
    left = {op.name for name in in_float for op in found[name]}
    chosen = {op.name: (name, op) for name, ops in found.items() for op in ops if op.name not in left}
    return tuple(chosen.values())


def _measured(job: _Job, feeds: Feeds) -> Ranges:
    """Return the ranges of each operator's inputs and outputs, by the name of the value."""
    where: dict[str, str] = {}
    for layer, op in job.operators:
        after = [follower.outputs[0] for follower in op.outputs[0].child_ops if follower.op_type in FOLLOWED]
        where |= {var.name: layer for var in (op.inputs["x"], op.outputs[0], *after)}
    ranges = measure_ranges(job.path, feeds, where.keys())
    for name, (low, high) in ranges.items():
        if not np.abs([low, high]).max() <= HALF_MAX:  # NaN is not
            layer = where[name]
            raise ExportError(
                f"{job.path.name}: {name!r}, at the layer {layer!r}, goes from {low:g} to {high:g} on the samples, for "
                f"which there is no 8-bit scale. Keep {layer!r} in higher precision, or drop the sample that causes it."
            )
    return ranges


def _rewrite(job: _Job, ranges: Ranges) -> None:
    """Replace the package with its compressed form."""
    with tempfile.TemporaryDirectory(prefix=f".{job.path.name}.", dir=job.path.parent) as aside:
        new = Path(aside) / job.path.name
        try:
            with quiet():
                _compressed(job, ranges).save(str(new))
        except CgsamError:
            raise
        except Exception as error:  # coremltools raises many kinds
            raise ExportError(f"{job.path}: coremltools could not quantise it ({job.kind}): {error}") from error
        make_reproducible(new)
        _verify(new, job)
        replace_folder(new, job.path)


def _compressed(job: _Job, ranges: Ranges) -> Any:
    operators = [op for _, op in job.operators]
    model = coremltools().models.MLModel(str(job.path), skip_model_load=True)
    if job.kind == "w8a8":
        model = small_activations(model, operators, ranges)
    return small_weights(model, operators, _PALETTE_BITS.get(job.kind))


def _verify(package: Path, job: _Job) -> None:
    """Check that coremltools compressed the right operators and no others; it skips what it cannot compress."""
    layers = {op.name: layer for layer, op in job.operators}
    linears = [op for op in load_function(package).operations if op.op_type == "linear"]
    small = {op.name for op in linears if _is_small(op, job.kind)}
    for name in sorted(layers.keys() ^ small):
        what = "was not compressed" if name in layers else "was compressed, but should not be"
        raise ExportError(f"{job.path.name}: the layer {layers.get(name, name)!r} {what} by coremltools ({job.kind}).")


def _is_small(op: Any, kind: str) -> bool:
    makes_weight, makes_x = (getattr(op.inputs[name].op, "op_type", "") for name in ("weight", "x"))
    return makes_weight.startswith("constexpr_") and (kind != "w8a8" or makes_x == "dequantize")
