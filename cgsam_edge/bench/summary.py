"""Summary statistics of a list of times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDE = 1.25
"""A p90 this many times the p50 means that something other than the engine was measured too."""

FEW = 10
"""Fewer runs than this give no meaningful p90."""


@dataclass(frozen=True)
class Summary:
    """Summary of the times of one kind of run.

    Attributes:
        runs: how many.
        minimum: milliseconds, as the others.
        p50: the median.
        p90: percentile, interpolated linearly.
        p99: likewise; of fewer than 100 runs it lies between the two longest.
        mean: the mean of all.
    """

    runs: int
    minimum: float
    p50: float
    p90: float
    p99: float
    mean: float

    @property
    def spread(self) -> float:
        """The p90 divided by the p50; 1 if all times are zero."""
        return self.p90 / self.p50 if self.p50 > 0 else 1.0


def summarise(milliseconds: Sequence[float]) -> Summary:
    """Return the summary of one or more times.

    Raises:
        ValueError: there are no times.
    """
    if not milliseconds:
        raise ValueError("no times to summarise.")
    times = np.asarray(milliseconds, np.float64)
    p50, p90, p99 = (float(p) for p in np.percentile(times, (50, 90, 99)))
    return Summary(len(times), float(times.min()), p50, p90, p99, float(times.mean()))


def drift(values: Sequence[float]) -> float:
    """Return the mean of the last quarter divided by that of the first; 1 if there are fewer than four values."""
    quarter = len(values) // 4
    if quarter == 0:
        return 1.0
    first, last = float(np.mean(values[:quarter])), float(np.mean(values[-quarter:]))
    return last / first if first else 1.0
