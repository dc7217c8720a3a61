"""What is known about one configuration while it is measured, and its final row."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.agreement import mask_ious
from cgsam_edge.bench.measurement import ONE, REST, Cold, Configuration, Peak, Row
from cgsam_edge.bench.summary import summarise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Masks = NDArray[np.bool_]


@dataclass
class Tally:
    """One configuration.

    Attributes:
        configuration: engine, device and precision.
        weights: precision of the stored weights.
        cold: starts so far.
        facts: what the engine reports about itself.
        times: milliseconds so far, by graph and kind of run.
        seconds: when each run of one concept ended, since the beginning.
        joules: energy of each image with one concept, so far.
        masks: masks of all concepts, bool (n, m, m).
        pytorch: IoU of the bundle's example mask with PyTorch's.
        peaks: rates of matrix products, by "rate" and "int8".
        problem: why it stopped; empty if it did not.
    """

    configuration: Configuration
    weights: str = ""
    cold: list[Cold] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    seconds: list[float] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)
    masks: Masks | None = None
    pytorch: float | None = None
    peaks: list[dict[str, float | None]] = field(default_factory=list)
    problem: str = ""

    @property
    def arithmetic(self) -> str:
        """The arithmetic as the engine reports it; empty before the first start."""
        return str(self.facts.get("arithmetic", ""))

    @property
    def memory(self) -> int:
        """The greatest number of bytes that a start needed; 0 if it is not reported."""
        return max((one.peak_memory or 0 for one in self.cold), default=0)

    def add(self, kind: str, answer: dict[str, Any], now: float) -> None:
        """Record the times of runs, the last of which has just ended; for one concept, also those of the graphs."""
        self.times[kind] += answer["milliseconds"]
        if kind != ONE:
            return
        for graph, times in answer["graphs"].items():
            self.times[graph] += times
        parts = zip(answer["milliseconds"], zip(*answer["graphs"].values(), strict=True), strict=True)
        self.times[REST] += [total - sum(graphs) for total, graphs in parts]
        backwards = np.asarray(answer["milliseconds"])[::-1]
        later = (np.cumsum(backwards) - backwards)[::-1]  # the time of the runs that followed each one
        self.seconds += (now - later / 1000).tolist()

    def row(self, reference: Masks | None) -> Row:
        """Return the row.

        Args:
            reference: masks to compare with, bool (n, m, m), or None.
        """
        ious = [] if reference is None or self.masks is None else mask_ious(reference, self.masks)
        return Row(
            self.configuration,
            arithmetic=self.arithmetic,
            weights=self.weights,
            threads=self.facts.get("threads"),
            cold=tuple(self.cold),
            times={kind: summarise(times) for kind, times in self.times.items() if times},
            series=tuple(self.times.get(ONE, ())),
            seconds=tuple(self.seconds),
            mask_iou=sum(ious) / len(ious) if ious else None,
            worst_mask_iou=min(ious, default=None),
            pytorch_mask_iou=self.pytorch,
            joules=sum(self.joules) / len(self.joules) if self.joules else None,
            peak=Peak(self._best("rate"), self._best("int8")) if self.peaks else None,
            problem=self.problem,
        )

    def _best(self, kind: str) -> float | None:
        return max((rate for peak in self.peaks if (rate := peak[kind]) is not None), default=None)
