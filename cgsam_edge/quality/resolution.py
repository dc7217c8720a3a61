"""How masks and time change with the image size: values, a text table, and the manifest's summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cgsam_edge.quality.columns import aligned, share_text


@dataclass(frozen=True)
class SizeTrial:
    """A model at one image size, in PyTorch, compared with the same model at its own size.

    Attributes:
        image_size, clip_image_size: sides in pixels at which SAM and CLIP run.
        macs: multiply-adds of one image with one concept.
        seconds: time of that on the exporting machine, the median of some runs.
        masks: number of masks that count: those whose concept the model calls present at its own size.
        mean_iou: mean IoU of these masks, at the pictures' size.
        worst_concept: the concept with the lowest mean mask IoU, and that IoU.
        flips: presence decisions that changed.
        class_miou: against labels; None without labels.
    """

    image_size: int
    clip_image_size: int
    macs: int
    seconds: float
    masks: int
    mean_iou: float
    worst_concept: tuple[str, float]
    flips: int
    class_miou: float | None


@dataclass(frozen=True)
class SizeSearch:
    """The sizes that were tried, and the chosen one.

    Attributes:
        own_size, own_clip_size: the model's own sides in pixels.
        own_macs, own_seconds: multiply-adds and time at its own size.
        own_miou: class mIoU against labels at its own size; None without labels.
        tried: other sizes, in the order in which they were tried.
        chosen: SAM's chosen side in pixels.
        min_iou: lowest mean mask IoU, if the size was "auto"; otherwise None.
    """

    own_size: int
    own_clip_size: int
    own_macs: int
    own_seconds: float
    own_miou: float | None
    tried: tuple[SizeTrial, ...]
    chosen: int
    min_iou: float | None

    @property
    def conclusion(self) -> str:
        """The chosen size, and the reason."""
        if self.min_iou is None:
            return f"{self.chosen} pixels, as requested, whatever its masks"
        if self.chosen != self.own_size:
            return f"{self.chosen} pixels: the smallest size with a mean mask IoU of {self.min_iou:g} or more"
        why = f"no smaller size has a mean mask IoU of {self.min_iou:g}" if self.tried else "no smaller size to try"
        return f"the model's own {self.own_size} pixels: {why}"

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the rows of the table: its head, the model's own size, and the sizes that were tried."""
        yield "pixels", "CLIP", "mask IoU", "worst concept", "class mIoU", "multiply-adds", "time"
        yield (
            f"{self.own_size}, its own", str(self.own_clip_size), "–", "–", share_text(self.own_miou),
            f"{self.own_macs / 1e9:.3g} G", f"{self.own_seconds:.3g} s",
        )  # fmt: skip
        for one in self.tried:
            concept, iou = one.worst_concept
            yield (
                str(one.image_size), str(one.clip_image_size), f"{one.mean_iou:.4f}", f"{concept} {iou:.4f}",
                share_text(one.class_miou),
                f"{one.macs / 1e9:.3g} G, {100 * one.macs / self.own_macs:.0f} %",
                f"{one.seconds:.3g} s, {100 * one.seconds / self.own_seconds:.0f} %",
            )  # fmt: skip

    def lines(self) -> list[str]:
        """Return the table as lines of text."""
        return aligned(self.rows(), indent="  ")

    def summary(self) -> dict[str, Any]:
        """Return the search in the manifest's form."""
        made = asdict(self)
        made["limit"] = made.pop("min_iou")  # the name in format 1
        made["tried"] = [{**one, "worst_concept": list(one["worst_concept"])} for one in made["tried"]]
        return made
