"""The progress of a run through its stages, by the clock or by steps."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

STAGES = ("coarse", "dense", "half", "joint")
"""``coarse``: both towers learn the concepts on half-size pictures; ``dense``: the same at full size; ``half``: the
whole model on half-size pictures, prompt by prompt, which costs a quarter; ``joint``: the same at full size, as in the
paper."""


@dataclass
class Schedule:
    """Maps time or steps to progress in [0, 1], and progress to a stage and a learning rate.

    Attributes:
        shares: share of the run of each stage, summing to 1.
        seconds: time limit of the run from now on; ignored where ``steps`` is given.
        steps: steps of each stage, for a run that does not depend on the machine's speed.
        done: progress when this process took over.
        peak: highest learning rate.
        fall: share of the run at its end in which the learning rate falls.
    """

    shares: tuple[float, ...]
    seconds: float = 0.0
    steps: tuple[int, ...] | None = None
    done: float = 0.0
    peak: float = 1e-3
    fall: float = 0.4
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)

    def __post_init__(self) -> None:
        """Check the shares and start the clock."""
        if len(self.shares) != len(STAGES) or abs(sum(self.shares) - 1) > 1e-6 or min(self.shares) < 0:
            raise ValueError(f"expected {len(STAGES)} shares that sum to 1, got {self.shares}")
        self.began = self.clock()

    def begin(self, seconds: float) -> None:
        """Restart the clock, for a run of this number of seconds.

        Raises:
            ValueError: no seconds are left.
        """
        if seconds <= 0 and self.steps is None:
            raise ValueError(f"{-seconds:.0f} s too few to take a step and to evaluate the result: train longer")
        self.seconds, self.began = seconds, self.clock()

    def progress(self, taken: dict[str, int]) -> float:
        """Return the progress after the given steps of each stage."""
        if self.steps is None:
            return min(1.0, self.done + (1 - self.done) * (self.clock() - self.began) / max(self.seconds, 1e-9))
        return sum(
            share * (min(1.0, taken[stage] / count) if count else 1.0)
            for stage, share, count in zip(STAGES, self.shares, self.steps, strict=True)
        )

    def stage(self, progress: float) -> str:
        """Return the stage that a progress lies in."""
        edge = 0.0
        for stage, share in zip(STAGES, self.shares, strict=True):
            edge += share
            if progress < edge - 1e-9:
                return stage
        return STAGES[-1]

    def rate(self, progress: float) -> float:
        """Return the learning rate: a short warm-up, the peak, then a straight line to a hundredth of it.

        Until it falls, a state is worth continuing from: a longer run repeats nothing of a shorter one.
        """
        warm = min(1.0, 0.05 + max(0.0, progress - self.done) / 0.02)
        return self.peak * warm * max(0.01, min(1.0, (1 - progress) / self.fall))
