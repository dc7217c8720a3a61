"""From turns to rows: medians, ratios, agreement of masks, and the distance to the limit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.contenders import EAGER, Contender, plain_of
from benchmarks.peaks import Peaks
from benchmarks.turns import Turn
from cgsam_edge.agreement import mask_ious
from cgsam_edge.bench.summary import Summary, summarise

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONE, CLICK = "one", "click"


@dataclass(frozen=True)
class ContenderRow:
    """A contender, measured.

    Attributes:
        key: the contender's.
        name: the contender's.
        one: milliseconds of one image and one concept, from a picture in memory to its mask; None without a turn.
        click: milliseconds of a click on an encoded image.
        cold: seconds from the start of a process to the first mask, median.
        peak_memory: bytes, the most of all turns.
        mask_iou: mean over the concepts, with eager PyTorch's masks.
        worst_mask_iou: the least.
        class_miou: on labelled scenes; None where the model was not trained on them.
        by_default: whether it is what a user gets by choosing the engine alone.
        to_eager: how many times as long as eager PyTorch's median the median of `one` is.
        to_plain: likewise of plain float32 ONNX on the same engine.
        macs: multiply-adds of one image and one concept.
        limit: milliseconds that these would take at the engine's peaks of products, each in its own precision; INT8 at
            that of floats where that is greater.
        problem: why there are no numbers.
    """

    key: str
    name: str
    one: Summary | None = None
    click: Summary | None = None
    cold: float | None = None
    peak_memory: int | None = None
    mask_iou: float | None = None
    worst_mask_iou: float | None = None
    class_miou: float | None = None
    by_default: bool = False
    to_eager: float | None = None
    to_plain: float | None = None
    macs: int | None = None
    limit: float | None = None
    problem: str = ""

    @property
    def to_limit(self) -> float | None:
        """How many times the limit the median is."""
        return self.one.p50 / self.limit if self.one and self.limit else None


@dataclass(frozen=True)
class Measured:
    """The input of the rows.

    Attributes:
        turns: of all contenders.
        problems: of contenders without numbers, by key.
        masks: folder of logits, ``KEY.npy``.
        macs: multiply-adds by key.
        int8: how many of these are in INT8, by key; none where a key is missing.
        peaks: the greatest rates that were measured.
    """

    turns: Sequence[Turn]
    problems: Mapping[str, str]
    masks: Path
    macs: Mapping[str, int]
    int8: Mapping[str, int]
    peaks: Peaks


def rows(contenders: Sequence[Contender], measured: Measured) -> list[ContenderRow]:
    """Return a row for each contender, in their order."""
    return [_row(one, measured) for one in contenders]


def _row(contender: Contender, measured: Measured) -> ContenderRow:
    key = contender.key
    turns = [turn for turn in measured.turns if turn.key == key]
    problem = measured.problems.get(key, "")
    if not turns:
        return ContenderRow(key, contender.name, by_default=contender.by_default, problem=problem or "not measured")
    one = _summary(turns, ONE)
    ious = _agreement(key, measured.masks)
    return ContenderRow(
        key,
        contender.name,
        one,
        _summary(turns, CLICK),
        float(np.median([turn.cold for turn in turns])),
        max((turn.peak_memory for turn in turns if turn.peak_memory is not None), default=None),
        sum(ious) / len(ious) if ious else None,
        min(ious, default=None),
        _class_miou(key, measured.masks),
        contender.by_default,
        _ratio(one, measured, EAGER),
        _ratio(one, measured, plain_of(contender)),
        measured.macs.get(key),
        _limit(contender, measured),
        problem,
    )


def _summary(turns: Sequence[Turn], what: str) -> Summary:
    return summarise([time for turn in turns for time in turn.times[what]])


def _ratio(one: Summary, measured: Measured, key: str) -> float | None:
    turns = [turn for turn in measured.turns if turn.key == key]
    return one.p50 / _summary(turns, ONE).p50 if turns else None


def _agreement(key: str, folder: Path) -> list[float]:
    reference, own = folder / f"{EAGER}.npy", folder / f"{key}.npy"
    return mask_ious(_masks(reference), _masks(own)) if reference.exists() and own.exists() else []


def _class_miou(key: str, folder: Path) -> float | None:
    path = folder / f"{key}.json"
    return float(json.loads(path.read_text(encoding="utf-8"))["class_miou"]) if path.exists() else None


def _masks(path: Path) -> NDArray[np.bool_]:
    logits: NDArray[np.float32] = np.load(path)
    return logits > 0


def _limit(contender: Contender, measured: Measured) -> float | None:
    macs, rates = measured.macs.get(contender.key), measured.peaks.get(contender.engine, {})
    kind = "reduced" if contender.arithmetic == "default" else contender.arithmetic
    floats = [rates[p] for p in ("fp32", kind) if p in rates]
    if not macs or not floats:
        return None
    rate, int8 = max(floats), min(measured.int8.get(contender.key, 0), macs)
    return 1000 * ((macs - int8) / rate + int8 / max(rate, rates.get("int8", 0.0)))
