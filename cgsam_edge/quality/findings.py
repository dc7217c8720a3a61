"""Everything that an export or a comparison measures: the content of the report."""

from __future__ import annotations

from dataclasses import dataclass

from cgsam_edge.quality.judge import TargetQuality
from cgsam_edge.quality.resolution import SizeSearch
from cgsam_edge.quality.shared_blocks import SharingSearch


@dataclass(frozen=True)
class Sensitivity:
    """How much masks change when a single layer is quantised.

    Attributes:
        graph, layer: the layer's graph and name.
        mean_iou: mean mask IoU when only this layer is quantised.
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
        bytes: size of its files.
        macs: multiply-adds of one run; None if unknown.
        error: root mean square error of its outputs on the examples, in standard deviations; None if it was not run.
        latency: on the exporting machine; None if the engine cannot run there.
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
    """All measurements of an export on its bundle, or of `cgsam compare` on two.

    Attributes:
        title: title of the page.
        reference: source of the expected masks, such as "PyTorch, float32".
        pictures: one line about the pictures and their origin.
        targets: by target.
        graphs: each graph of each target.
        size: the search for a smaller image size; None if the model keeps its own.
        sharing: the search for blocks that concepts can share; None if nobody asked for it.
        kept_in_float: layers that are not quantised.
        sensitivity: of layers, if it was measured, the most sensitive first.
        notes: warnings and remarks, one line each.
        left_out: pictures that could not be used, with the reason, one line each.
        machine: processor, threads and versions, one line each.
        degraded: whether the bundle was written although the gate failed.
        comparison: whether two bundles were compared. Neither has to pass: the page then says "agrees" or "differs".
    """

    title: str
    reference: str
    pictures: str
    targets: tuple[TargetQuality, ...]
    graphs: tuple[GraphQuality, ...] = ()
    size: SizeSearch | None = None
    sharing: SharingSearch | None = None
    kept_in_float: tuple[FloatLayer, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    machine: tuple[str, ...] = ()
    degraded: bool = False
    comparison: bool = False
