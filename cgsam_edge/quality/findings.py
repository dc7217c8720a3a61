"""All that an export, or a comparison, measures of a bundle, as values: the content of the report."""

from __future__ import annotations

from dataclasses import dataclass

from cgsam_edge.quality.judge import TargetQuality
from cgsam_edge.quality.resolution import SizeSearch


@dataclass(frozen=True)
class Sensitivity:
    """How much masks change when one layer alone is quantised.

    Attributes:
        graph, layer: its name.
        mean_iou: mean mask IoU with only this layer quantised.
        error: root mean square error of the mask logits, in standard deviations.
    """

    graph: str
    layer: str
    mean_iou: float
    error: float


@dataclass(frozen=True)
class FloatLayer:
    """A layer that is kept in float, and why."""

    target: str
    graph: str
    layer: str
    reason: str


@dataclass(frozen=True)
class Latency:
    """Seconds of one graph on the exporting machine: opening it, the first run, and the median of warm runs."""

    open: float
    first: float
    warm: float


@dataclass(frozen=True)
class GraphQuality:
    """One graph of one target.

    Attributes:
        target, graph: names.
        precision: "fp32", "fp16", "int8" or another word of the target.
        bytes: of its files.
        macs: multiply-adds of one run; None where unknown.
        error: root mean square error of its outputs on the examples, in standard deviations; None where it was not run.
        latency: on the exporting machine; None where the engine cannot run there.
    """

    target: str
    graph: str
    precision: str
    bytes: int
    macs: int | None = None
    error: float | None = None
    latency: Latency | None = None


@dataclass(frozen=True)
class Quality:
    """All that an export measured of its own bundle, or `cgsam compare` of two.

    Attributes:
        title: for the page.
        reference: what masks were compared with, such as "PyTorch, float32".
        pictures: names of the pictures, and where they came from, a line.
        targets: by target.
        graphs: each graph of each target.
        size: the search for another image size than the model's own; None where it keeps its own.
        kept_in_float: layers that are not quantised.
        sensitivity: of layers, where it was measured, the most sensitive first.
        notes: warnings and remarks, a line each.
        left_out: pictures that could not be used, and why, a line each.
        machine: processor, threads, versions, a line each.
        degraded: whether the bundle was written although the gate failed.
        comparison: whether two bundles were compared, of which none has to pass: the page then says "agrees" and
            "differs".
    """

    title: str
    reference: str
    pictures: str
    targets: tuple[TargetQuality, ...]
    graphs: tuple[GraphQuality, ...] = ()
    size: SizeSearch | None = None
    kept_in_float: tuple[FloatLayer, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    machine: tuple[str, ...] = ()
    degraded: bool = False
    comparison: bool = False
