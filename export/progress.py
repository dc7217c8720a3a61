"""Progress of a recipe: a numbered line for each step, with its seconds at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Progress = Callable[[str], None]
"""Called with one line of progress."""


def silent(_: str) -> None:
    """Ignore a line of progress."""


class StepProgress:
    """Numbers the steps of a recipe as they run, and passes other lines on.

    The total follows from the planned steps that have not run yet: an unplanned step increases it, and a planned one
    that is skipped decreases it.

    Args:
        progress: receives each line.
        planned: names of the steps in order.

    Attributes:
        say: receives lines other than the numbered ones.
        closing: lines to print when everything is written.
    """

    def __init__(self, progress: Progress = silent, planned: Iterable[str] = ()) -> None:
        self.say = progress
        self.closing: list[str] = []
        self._ahead = list(planned)
        self._taken = 0

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[None]:
        """Run the block as one step.

        Args:
            name: name of the planned step.
            detail: further text for the line.
        """
        if name in self._ahead:
            del self._ahead[: self._ahead.index(name) + 1]
        self._taken += 1
        line = f"[{self._taken}/{self._taken + len(self._ahead)}] {name}{detail and f' {detail}'}"
        self.say(f"{line} …")
        start = time.perf_counter()
        yield
        self.say(f"{line}: {time.perf_counter() - start:.1f} s")
