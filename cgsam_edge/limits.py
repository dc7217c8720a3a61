"""How many of the requested concepts are computed: a largest number, and a time after which none is started."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from operator import index

from cgsam_edge.errors import InputError

MAX_CONCEPTS, TIME_BUDGET = "max_concepts", "time_budget"
"""The option because of which a concept was left out."""


@dataclass(frozen=True)
class Limits:
    """Limits of a call's cost.

    Attributes:
        max_concepts: largest number of concepts to compute, 1 or more: the likeliest ones; None means all.
        time_budget: seconds after which no further concept is started, above 0; None means no limit.
        skip_absent: whether to skip concepts that similarity alone rules out.
        started: start of the call, by `time.perf_counter`.

    Raises:
        InputError: a limit is not a number, not positive, or NaN.
    """

    max_concepts: int | None = None
    time_budget: float | None = None
    skip_absent: bool = True
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if self.max_concepts is not None and not _is_count(self.max_concepts):
            raise InputError(f"max_concepts must be a whole number, 1 or more, or None, got {self.max_concepts!r}.")
        if self.time_budget is not None and not _is_positive(self.time_budget):
            raise InputError(f"time_budget must be seconds, above 0, or None, got {self.time_budget!r}.")

    def spent(self) -> bool:
        """Whether the time is used up."""
        return self.time_budget is not None and time.perf_counter() - self.started >= self.time_budget


def _is_count(value: object) -> bool:
    try:
        return not isinstance(value, bool) and index(value) >= 1  # type: ignore[arg-type]
    except TypeError:
        return False


def _is_positive(value: object) -> bool:
    try:
        return not isinstance(value, bool) and float(value) > 0  # type: ignore[arg-type]  # NaN is not
    except (TypeError, ValueError):
        return False
