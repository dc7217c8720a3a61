"""Polygons of labels that were made without them, computed by several processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

from cgsam_edge.bulk.processes import AHEAD, pool
from cgsam_edge.bulk.recipe import Recipe
from cgsam_edge.bulk.rows import LabelRow


def outlined(
    rows: Iterable[LabelRow], workers: int, say: Callable[[str], object] = lambda _line: None
) -> Iterator[LabelRow]:
    """Yield rows with their outlines, in the order given; few are in memory at a time.

    If a process dies, `say` is called and the rest is left out: the writers compute what is missing.

    Args:
        rows: without errors.
        workers: number of processes; 1 computes in this one.
        say: called with lines for the user.
    """
    if workers == 1:
        yield from map(LabelRow.with_outlines, rows)
        return
    waiting, under_way = iter(rows), deque[Future[LabelRow]]()
    with pool(Recipe(), workers) as processes:
        try:
            while True:
                while len(under_way) < AHEAD * workers and (row := next(waiting, None)) is not None:
                    under_way.append(processes.submit(LabelRow.with_outlines, row))
                if not under_way:
                    return
                yield under_way.popleft().result()
        except BrokenProcessPool:
            say("warning: a process that computes polygons died, perhaps out of memory: the rest is computed by one.")
