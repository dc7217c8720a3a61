"""The verdict on a target in arithmetic below float32: the gate's, and what it loses beyond the target in float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cgsam_edge.quality.defaults import ARITHMETIC_MAX_DISAGREEMENT, ARITHMETIC_MAX_DROP
from cgsam_edge.quality.judge import Measured, TargetQuality


@dataclass(frozen=True)
class ArithmeticQuality(TargetQuality):
    """What was found of a target in arithmetic below float32.

    Attributes:
        exact: the same target in float32, on the same pictures.
    """

    exact: TargetQuality

    @property
    def measures(self) -> tuple[Measured, ...]:
        """The gate's measures, and the further loss of masks and of class mIoU."""
        return (*super().measures, *self._further())

    @property
    def least_further(self) -> float:
        """The mean mask IoU with PyTorch that the target in float32 leaves room for."""
        return self.exact.mean_iou - ARITHMETIC_MAX_DISAGREEMENT * self.exact.unit

    def summary(self) -> dict[str, Any]:
        """Return what the manifest holds of the target in float32, and of what may be lost beyond it."""
        labelled = self.exact.labelled
        return {
            "exact": {"mean_iou": self.exact.mean_iou, "class_miou": labelled[1] if labelled else None},
            "further": {"max_drop": ARITHMETIC_MAX_DROP, "max_disagreement": ARITHMETIC_MAX_DISAGREEMENT},
        }

    def _further(self) -> Iterator[Measured]:
        least, mean, exact = self.least_further, self.mean_iou, self.exact.mean_iou
        text = f"mean mask IoU {exact:.4f} in float32 → {mean:.4f}, at least {least:.4f} is needed"
        yield Measured(1 - mean, 1 - least, text)
        before, after, most = self.exact.labelled, self.labelled, ARITHMETIC_MAX_DROP
        if before is not None and after is not None:
            text = f"class mIoU {before[1]:.4f} in float32 → {after[1]:.4f}, a drop of {most:g} is allowed"
            yield Measured(before[1] - after[1], most, text)
