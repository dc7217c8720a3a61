"""The search for the graphs that may compute in a narrower arithmetic, in few attempts and not all combinations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cgsam_edge.quality.judge import TargetQuality

Combination = frozenset[str]
"""The graphs that compute in less than float32."""

Attempt = Callable[[Combination], TargetQuality]

NO_TIME = "the time was over"


class OutOfTimeError(Exception):
    """No further attempt may begin."""


class Budget:
    """Seconds for all attempts of an export.

    Args:
        seconds: in all.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; 0 where there are none."""
        return max(0.0, self._end - time.monotonic())


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        graphs: those that may compute in less than float32; none where nothing passes.
        found: what the gate found of this combination; None where nothing passes.
        note: why the others stay in float32; empty where there are none.
        attempts: how many combinations were tried.
    """

    graphs: Combination
    found: TargetQuality | None
    note: str
    attempts: int


class Search:
    """Tries combinations, each once.

    Args:
        attempt: computes and judges one.
        costs: multiply-adds of each graph.
        budget: of time; an attempt that would take longer than what is left, as the longest so far took, is not begun.
    """

    def __init__(self, attempt: Attempt, costs: Mapping[str, int], budget: Budget) -> None:
        self._attempt, self._costs, self._budget = attempt, costs, budget
        self._tried: dict[Combination, TargetQuality] = {}
        self._longest = 0.0

    def run(self, first: Combination | None = None) -> Outcome:
        """Return the largest combination that was found to pass.

        All graphs at once come first, and then all but one, the one that computes least first. Where more than one has
        to stay in float32, each is tried alone, those that pass alone are tried together, and the one that moves masks
        the most for what it computes is put back until the rest passes.

        Args:
            first: a combination that is likely to pass, tried before the others where it is not all graphs.
        """
        everything = frozenset(self._costs)
        try:
            if first and first != everything and self._passes(first):
                return self._outcome(first, "as far as on the target before")
            if self._passes(everything):
                return self._outcome(everything, "")
            for graph in sorted(everything, key=self._costs.__getitem__):
                rest = everything - {graph}
                if rest and self._passes(rest):
                    return self._outcome(rest, f"{graph} moved the masks too far")
            return self._outcome(*self._reduced(everything))
        except OutOfTimeError:
            passing = [one for one, found in self._tried.items() if found.passed]
            best = max(passing, key=lambda one: sum(self._costs[graph] for graph in one), default=frozenset())
            return self._outcome(best, NO_TIME)

    def _reduced(self, everything: Combination) -> tuple[Combination, str]:
        """Return what passes of less than everything, and why not the rest."""
        alone = [graph for graph in everything if self._passes(frozenset([graph]))]
        alone.sort(key=self._price)
        while alone and not self._passes(frozenset(alone)):
            alone.pop()
        others = ", ".join(sorted(everything - set(alone)))
        return frozenset(alone), f"{others} moved the masks too far"

    def _price(self, graph: str) -> float:
        """Return how far a graph alone moves the masks for each multiply-add that it computes faster."""
        return self._tried[frozenset([graph])].disagreement / max(1, self._costs[graph])

    def _passes(self, graphs: Combination) -> bool:
        if graphs not in self._tried:
            if self._longest > self._budget.left or not self._budget.left:
                raise OutOfTimeError
            start = time.monotonic()
            self._tried[graphs] = self._attempt(graphs)
            self._longest = max(self._longest, time.monotonic() - start)
        return self._tried[graphs].passed

    def _outcome(self, graphs: Combination, note: str) -> Outcome:
        return Outcome(graphs, self._tried.get(graphs), note, len(self._tried))
