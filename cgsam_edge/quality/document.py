"""A bundle's quality as plain JSON, and in a word for each target."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cgsam_edge.quality.findings import MaskPair, Quality, TargetQuality

FORMAT, FORMAT_VERSION = "cgsam-quality", 1

NOT_RUN = "not run here"


@dataclass(frozen=True)
class Verdict:
    """What became of a target.

    Attributes:
        word: "passed", "failed", "degraded", "not run here", or "agrees" and "differs" of two bundles.
        kind: what colour it has: "good", "bad", "warned" or "idle".
        mark: a sign for those who do not see the colour.
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
    """Return the targets that have graphs, of which nothing was run here and no mask was compared."""
    compared = {target.target for target in quality.targets}
    measured = {graph.target for graph in quality.graphs if graph.latency is not None or graph.error is not None}
    names = dict.fromkeys(graph.target for graph in quality.graphs)
    return tuple(name for name in names if name not in compared | measured)


def to_json(quality: Quality) -> dict[str, Any]:
    """Return everything as what ``json.dumps`` takes; a number that is not finite is null, a path its file's name."""
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **asdict(quality),
        "targets": [_target(quality, target) for target in quality.targets],
        "not_run": list(not_run(quality)),
    }
    plain: dict[str, Any] = _plain(document)
    return plain


def _target(quality: Quality, target: TargetQuality) -> dict[str, Any]:
    return {
        "target": target.target,
        "verdict": verdict(quality, target).word,
        "limits": asdict(target.limits),
        **(_found(target) if target.pairs else {}),
        "pairs": [_pair(pair) for pair in target.pairs],
    }


def _found(target: TargetQuality) -> dict[str, Any]:
    concept, iou = target.worst_concept
    labelled = target.labelled
    return {
        "passed": target.passed,
        "problems": target.problems,
        "mean_iou": target.mean_iou,
        "counted": len(target.counted),
        "flips": target.flips,
        "labelled": None if labelled is None else {"before": labelled[0], "after": labelled[1]},
        "worst_concept": {"concept": concept, "iou": iou},
        "worst": _pair(target.worst),
        "by_concept": target.by_concept,
    }


def _pair(pair: MaskPair) -> dict[str, Any]:
    return {**asdict(pair), "image": pair.image.name}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
