"""The gate's verdict in words, and as the manifest holds it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgsam_edge.quality.findings import Quality, Sensitivity, TargetQuality
from cgsam_edge.quality.report import HTML_FILE


def save_report(folder: Path, beside: Path) -> None:
    """Keep the report of a bundle that will not appear."""
    beside.mkdir(exist_ok=True)
    for path in folder.glob("report.*"):
        shutil.copy(path, beside / path.name)


def refusal(failed: Sequence[TargetQuality], harm: Sequence[Sensitivity], beside: Path) -> str:
    """Say what was worst, where its pictures are, and what to do."""
    lines = []
    for one in failed:
        concept, iou = one.worst_concept
        graph = f"{harm[0].graph} (layer {harm[0].layer})" if harm else "image or concept; layers were not tried"
        lines.append(
            f"{one.target}: {'; '.join(one.problems)}. Worst concept {concept!r} ({iou:.4f}); worst picture "
            f"{one.worst.image.name}, {one.worst.concept!r} ({one.worst.iou:.4f}); most harm in the graph {graph}"
        )
    return (
        "the masks are too far from the PyTorch model's, so no bundle was written.\n  "
        + "\n  ".join(lines)
        + f"\n  pictures and numbers: {beside / HTML_FILE}\n  Calibrate on more and other photos, take a higher "
        "precision for a graph (--precision image=fp16,concept=int8), or --allow-degraded."
    )


def line(found: TargetQuality) -> str:
    """Return a target's verdict as a line of progress."""
    concept, iou = found.worst_concept
    labelled = found.labelled
    more = f", class mIoU {labelled[0]:.4f} → {labelled[1]:.4f}" if labelled else ""
    return (
        f"{found.target}: mean mask IoU with PyTorch {found.mean_iou:.4f} over {len(found.counted)} masks, worst "
        f"concept {concept!r} {iou:.4f}, {found.flips} presence decisions flipped{more}: "
        + ("passed" if found.passed else "not passed")
    )


def summary(quality: Quality) -> dict[str, Any]:
    """Return what the manifest holds of it; ``report.json`` has all."""
    gate = {
        one.target: {
            "passed": one.passed, "mean_iou": one.mean_iou, "limit": one.limits.mean_iou,
            "worst_concept": list(one.worst_concept), "flips": one.flips, "masks": len(one.counted),
            "class_miou": list(one.labelled) if one.labelled else None,
        }
        for one in quality.targets
    }  # fmt: skip
    kept = [{"target": k.target, "graph": k.graph, "layer": k.layer, "reason": k.reason} for k in quality.kept]
    notes = list(quality.notes)
    size = {"size": quality.size.summary()} if quality.size else {}
    return {
        "degraded": quality.degraded, "pictures": quality.pictures, "gate": gate, **size, "kept": kept, "notes": notes,
    }  # fmt: skip
