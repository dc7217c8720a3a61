"""How masks and the cost of a further concept change with shared blocks: values, a table, a summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cgsam_edge.quality.columns import aligned, share_text
from cgsam_edge.quality.judge import TargetQuality


@dataclass(frozen=True)
class SharingTrial:
    """A model with some blocks shared, in PyTorch, compared with itself without.

    Attributes:
        blocks: how many are shared.
        macs: multiply-adds of a further concept.
        mean_iou: mean mask IoU over the masks that count.
        drawn_iou: that of other draws of the points; None where it was not measured.
        flips, decisions: presence decisions that changed, of how many.
        class_miou: against labels, before and after; None without.
        problems: what does not pass.
    """

    blocks: int
    macs: int
    mean_iou: float
    drawn_iou: float | None
    flips: int
    decisions: int
    class_miou: tuple[float, float] | None
    problems: tuple[str, ...]

    @classmethod
    def of(cls, blocks: int, macs: int, found: TargetQuality) -> SharingTrial:
        """Keep what was found."""
        kept = (found.mean_iou, found.drawn_iou, found.flips, found.decisions, found.labelled, found.problems)
        return cls(blocks, macs, *kept)


@dataclass(frozen=True)
class SharingSearch:
    """How many shared blocks were tried, and how many were taken.

    Attributes:
        semantic: blocks of the model that depend on the concept.
        own_macs: multiply-adds of a further concept without shared blocks.
        tried: in the order of trial.
        chosen: how many blocks were taken.
        auto: whether the masks decided.
    """

    semantic: int
    own_macs: int
    tried: tuple[SharingTrial, ...]
    chosen: int
    auto: bool

    @property
    def macs(self) -> int:
        """Multiply-adds of a further concept with what was taken."""
        return next((one.macs for one in self.tried if one.blocks == self.chosen), self.own_macs)

    @property
    def conclusion(self) -> str:
        """What was taken, and why."""
        cost = f"a further concept costs {self.macs / 1e9:.3g} G multiply-adds instead of {self.own_macs / 1e9:.3g} G"
        if not self.auto:
            return f"{self.chosen} of {self.semantic}, as requested; masks decided nothing; {cost}"
        if self.chosen:
            return f"{self.chosen} of {self.semantic}: the most with which masks pass; {cost}"
        return f"none of {self.semantic}: masks do not pass with any" if self.tried else "the model has none to share"

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the table: its head, the model without shared blocks, and what was tried."""
        yield "shared", "mask IoU", "other points", "class mIoU", "presence flips", "a further concept", "passes"
        own = next((one.class_miou[0] for one in self.tried if one.class_miou), None)
        yield "none", "–", "–", share_text(own), "–", f"{self.own_macs / 1e9:.3g} G", "–"
        for one in self.tried:
            part = f"{one.macs / 1e9:.3g} G, {100 * one.macs / self.own_macs:.0f} %"
            yield (
                f"{one.blocks} of {self.semantic}", f"{one.mean_iou:.4f}", share_text(one.drawn_iou),
                share_text(one.class_miou[1] if one.class_miou else None), f"{one.flips} of {one.decisions}", part,
                "no" if one.problems else "yes",
            )  # fmt: skip

    def lines(self) -> list[str]:
        """Return the table as lines of text."""
        return aligned(self.rows(), indent="  ")

    def summary(self) -> dict[str, Any]:
        """Return it as the manifest holds it."""
        made = asdict(self)
        made["tried"] = [
            {
                **one,
                "class_miou": list(one["class_miou"]) if one["class_miou"] else None,
                "problems": [*one["problems"]],
            }
            for one in made["tried"]
        ]
        return made | {"macs": self.macs}
