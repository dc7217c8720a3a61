"""What an export proved of arithmetic below float32, by target and graph: the manifest's key ``arithmetic``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cgsam_edge.wording import amount

FLOAT32 = "float32"
BELOW_FLOAT32 = ("bfloat16", "float16")
"""Kinds of arithmetic that a proof can be about, in the order in which an export tries them."""

Proofs = Mapping[str, Mapping[str, "ArithmeticProof"]]
"""By target and kind."""


@dataclass(frozen=True)
class ArithmeticProof:
    """What the gate found of a target that computes in one kind of arithmetic.

    Attributes:
        graphs: the arithmetic of each graph, "float32" for those that have to stay in it, which may be all of them.
        by: the engine that computed, with version and device, or what emulated it; empty where nothing was tried.
        emulated: whether it was emulated.
        pictures: how many the masks were compared on.
        found: what the gate found of this combination, with the keys of ``quality.gate``; empty where none passes.
        note: why graphs stay in float32; empty where none has to.
    """

    graphs: dict[str, str]
    by: str
    emulated: bool
    pictures: int
    found: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def proven(proofs: Proofs, target: str, graph: str) -> tuple[str, ...] | None:
    """Return the kinds of arithmetic that are proven for a graph; None where the target was never tried in any."""
    found = proofs.get(target)
    if not found:
        return None
    return tuple(kind for kind in BELOW_FLOAT32 if kind in found and found[kind].graphs.get(graph) == kind)


def lines(proofs: Proofs, target: str) -> Iterator[str]:
    """Yield a line for each kind of arithmetic that a target was tried in."""
    for kind, proof in proofs.get(target, {}).items():
        passed = [graph for graph, arithmetic in proof.graphs.items() if arithmetic == kind]
        how = f"{'emulated by' if proof.emulated else 'on'} {proof.by}, {amount(proof.pictures, 'picture')}"
        how = how if proof.pictures else "not tried"
        note = f"; {proof.note}" if proof.note else ""
        yield f"{kind} {'proven for ' + ', '.join(passed) if passed else 'not proven'} ({how}){_numbers(proof)}{note}"


def summary(by_graph: Mapping[str, str]) -> str:
    """Return the arithmetic of several graphs in words: "bfloat16", or "bfloat16, float32 in clip"."""
    kinds = list(by_graph.values())
    main = max(dict.fromkeys(kinds), key=kinds.count)
    others: dict[str, list[str]] = {}
    for graph, kind in by_graph.items():
        if kind != main:
            others.setdefault(kind, []).append(graph)
    return "".join([main, *(f", {kind} in {' and '.join(graphs)}" for kind, graphs in others.items())])


def why(kinds: tuple[str, ...] | None, wanted: str, computed: str) -> str:
    """Say why a graph computes in what it does.

    Args:
        kinds: proven for it, see `proven`.
        wanted: `SessionOptions.precision`.
        computed: as the engine tells.
    """
    if computed != FLOAT32:
        if computed in (kinds or ()):
            return "proven by the export"
        return "asked for, not proven" if wanted == "reduced" else "what the device computes in, not proven"
    if wanted == FLOAT32:
        return "asked for"
    if wanted == "reduced":
        return "the device has nothing less"
    if kinds is None:
        return "the bundle holds no proof of less"
    return f"the device has no {' or '.join(kinds)}" if kinds else "less did not pass the export's gate"


def _numbers(proof: ArithmeticProof) -> str:
    found = proof.found
    if not found:
        return ""
    text = f": mask IoU {found['mean_iou']:.4f}"
    if found.get("drawn_iou") is not None:
        text += f" (other points {found['drawn_iou']:.4f})"
    if found.get("class_miou"):
        text += f", class mIoU {found['class_miou'][0]:.4f} → {found['class_miou'][1]:.4f}"
    return f"{text}, {amount(found['flips'], 'presence decision')} flipped"
