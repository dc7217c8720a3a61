"""Progress of a recipe: a numbered line when a step begins, and its seconds when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Progress = Callable[[str], None]
"""Called with one line of progress."""


def silent(_: str) -> None:
    """Take a line of progress, and do nothing."""


class StepProgress:
    """Numbers the steps of a recipe as they are taken, and passes other lines on.

    How many there are follows from the names that are planned and not yet taken: one that was not planned adds itself,
    and planned ones that are passed over are counted no more.

    Args:
        progress: takes each line.
        planned: names, in order.

    Attributes:
        say: takes a line of progress beside the numbered ones.
    """

    def __init__(self, progress: Progress = silent, planned: Iterable[str] = ()) -> None:
        self.say = progress
        self._ahead = list(planned)
        self._taken = 0

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[None]:
        """Take one step.

        Args:
            name: as planned.
            detail: what was not known then, for the line alone.
        """
        if name in self._ahead:
            del self._ahead[: self._ahead.index(name) + 1]
        self._taken += 1
        line = f"[{self._taken}/{self._taken + len(self._ahead)}] {name}{detail and f' {detail}'}"
        self.say(f"{line} …")
        start = time.perf_counter()
        yield
        self.say(f"{line}: {time.perf_counter() - start:.1f} s")
