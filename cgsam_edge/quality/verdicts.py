"""Verdicts on targets: a word for the report, a line of progress, an error message, and the manifest's summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cgsam_edge.quality.findings import Quality, Sensitivity
from cgsam_edge.quality.judge import TargetQuality, mean_iou
from cgsam_edge.wording import amount

NOT_RUN = "not run here"


@dataclass(frozen=True)
class Verdict:
    """The verdict on a target.

    Attributes:
        word: "passed", "failed", "degraded", "not run here", or, for two bundles, "agrees" or "differs".
        kind: its colour: "good", "bad", "warned" or "idle".
        mark: a symbol for readers who cannot see the colour.
    """

    word: str
    kind: str
    mark: str


def verdict(quality: Quality, target: TargetQuality) -> Verdict:
    """Judge a target."""
    if not target.pairs:
        return Verdict(NOT_RUN, "idle", "–")
    if quality.comparison:
        return Verdict("agrees", "good", "✓") if target.passed else Verdict("differs", "warned", "≠")
    if target.passed:
        return Verdict("passed", "good", "✓")
    return Verdict("degraded", "warned", "!") if quality.degraded else Verdict("failed", "bad", "✗")


def not_run(quality: Quality) -> tuple[str, ...]:
    """Return the targets whose graphs were not run here, so that no mask was compared."""
    compared = {target.target for target in quality.targets}
    measured = {graph.target for graph in quality.graphs if graph.latency is not None or graph.error is not None}
    names = dict.fromkeys(graph.target for graph in quality.graphs)
    return tuple(name for name in names if name not in compared | measured)


def refusal(failed: Sequence[TargetQuality], sensitivity: Sequence[Sensitivity], page: Path) -> str:
    """Return the error message: which masks are worst, where their pictures are, and what to do.

    Args:
        failed: the targets that do not pass, one or more.
        sensitivity: of layers, the most sensitive first; empty if it was not measured.
        page: the HTML report.
    """
    return (
        "the masks are too far from the PyTorch model's, so no bundle was written.\n  "
        + "\n  ".join(_failure(one, sensitivity) for one in failed)
        + f"\n  pictures and numbers: {page}\n  Calibrate on more or different photos, choose a higher "
        "precision for a graph (--precision image=fp16,concept=int8), or --allow-degraded."
    )


def _failure(one: TargetQuality, sensitivity: Sequence[Sensitivity]) -> str:
    concept, iou = one.worst_concept
    found = (
        f"the most sensitive layer is {sensitivity[0].layer} of the graph {sensitivity[0].graph}"
        if sensitivity
        else "no single layer was measured"
    )
    return (
        f"{one.target}: {'; '.join(one.problems)}. Worst concept {concept!r} ({iou:.4f}); worst picture "
        f"{one.worst.image.name}, {one.worst.concept!r} ({one.worst.iou:.4f}); {found}"
    )


def line(found: TargetQuality) -> str:
    """Return a target's verdict as a line of progress."""
    concept, iou = found.worst_concept
    labelled = found.labelled
    more = f", class mIoU {labelled[0]:.4f} → {labelled[1]:.4f}" if labelled else ""
    drawn = "" if found.drawn_iou is None else f" (other points {found.drawn_iou:.4f})"
    return (
        f"{found.target}: mean mask IoU with PyTorch {found.mean_iou:.4f}{drawn} over "
        f"{amount(len(found.counted), 'mask')}, worst concept {concept!r} {iou:.4f}, "
        f"{amount(found.flips, 'presence decision')} flipped{more}: " + ("passed" if found.passed else "not passed")
    )


def gate_summary(found: TargetQuality) -> dict[str, Any]:
    """Return what the manifest holds of one judgement; ``limit`` is null where labels decided all masks."""
    apart = found.compared if found.labelled and found.limits.min_iou is None else ()
    return {
        "passed": found.passed, "mean_iou": found.mean_iou, "limit": found.least_iou, "drawn_iou": found.drawn_iou,
        "disagreement": found.disagreement, "worst_concept": list(found.worst_concept), "flips": found.flips,
        "score_change": found.score_change, "masks": len(found.counted),
        "unlabelled": {"masks": len(apart), "mean_iou": mean_iou(apart)} if apart else None,
        "class_miou": list(found.labelled) if found.labelled else None, "limits": asdict(found.limits),
    }  # fmt: skip


def summary(quality: Quality) -> dict[str, Any]:
    """Return the manifest's summary of a bundle's quality; ``report.json`` has all. Keys are those of format 1."""
    gate = {one.target: gate_summary(one) for one in quality.targets}
    kept = [
        {"target": one.target, "graph": one.graph, "layer": one.layer, "reason": one.reason}
        for one in quality.kept_in_float
    ]
    notes = list(quality.notes)
    tried = {"size": quality.size.summary()} if quality.size else {}
    tried |= {"sharing": quality.sharing.summary()} if quality.sharing else {}
    return {
        "degraded": quality.degraded, "pictures": quality.pictures, "gate": gate, **tried, "kept": kept, "notes": notes,
    }  # fmt: skip
