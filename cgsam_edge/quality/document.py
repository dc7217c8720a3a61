"""A bundle's quality as plain JSON, ``report.json``; keys of format 1 keep names that attributes no longer use."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cgsam_edge.quality.verdicts import not_run, verdict

if TYPE_CHECKING:
    from cgsam_edge.agreement import Overlap
    from cgsam_edge.quality.findings import Quality
    from cgsam_edge.quality.judge import GateLimits, TargetQuality
    from cgsam_edge.quality.pairs import MaskPair

FORMAT, FORMAT_VERSION = "cgsam-quality", 1


def to_json(quality: Quality) -> dict[str, Any]:
    """Return everything for ``json.dumps``; non-finite numbers become null, paths become file names."""
    document: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(quality)}
    document |= {
        "kept": document.pop("kept_in_float"),
        "size": None if quality.size is None else quality.size.summary(),
        "sharing": None if quality.sharing is None else quality.sharing.summary(),
        "targets": [_target(quality, target) for target in quality.targets],
        "not_run": list(not_run(quality)),
    }
    plain: dict[str, Any] = _plain(document)
    return plain


def _target(quality: Quality, target: TargetQuality) -> dict[str, Any]:
    return {
        "target": target.target,
        "verdict": verdict(quality, target).word,
        "limits": _limits(target.limits),
        **(_found(target) if target.pairs else {}),
        "pairs": [_pair(pair) for pair in target.pairs],
    }


def _limits(limits: GateLimits) -> dict[str, float | None]:
    return {
        "mean_iou": limits.min_iou,
        "labelled_drop": limits.max_drop,
        "disagreement": limits.max_disagreement,
        "flips": limits.max_flips,
        "score_change": limits.max_score_change,
    }


def _found(target: TargetQuality) -> dict[str, Any]:
    concept, iou = target.worst_concept
    labelled = target.labelled
    return {
        "passed": target.passed,
        "problems": target.problems,
        "mean_iou": target.mean_iou,
        "least_iou": target.least_iou,
        "drawn_iou": target.drawn_iou,
        "disagreement": target.disagreement,
        "score_change": target.score_change,
        "counted": len(target.counted),
        "flips": target.flips,
        "labelled": None if labelled is None else {"before": labelled[0], "after": labelled[1]},
        "worst_concept": {"concept": concept, "iou": iou},
        "worst": _pair(target.worst),
        "by_concept": target.by_concept,
    }


def _pair(pair: MaskPair) -> dict[str, Any]:
    return {
        **asdict(pair),
        "image": pair.image.name,
        "labelled_before": _counts(pair.labelled_before),
        "labelled_after": _counts(pair.labelled_after),
    }


def _counts(overlap: Overlap | None) -> list[int] | None:
    return None if overlap is None else [overlap.intersection, overlap.union]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
