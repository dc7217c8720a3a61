"""Labelling on one machine without Ray: a process for each engine instance."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from cgsam_edge.bulk.recipe import Recipe
from cgsam_edge.bulk.rows import LabelRow
from cgsam_edge.bulk.worker import Labeller

Row = Mapping[str, Any]

AHEAD = 3
"""Pictures per process that are handed out at once, so that none waits for the next."""

_TRIES = 2
"""How often a picture is tried alone after a process died with it."""

_POLL = 0.5
"""Seconds; Windows delivers Ctrl-C only between waits."""

DIED = (
    "the process that labelled this picture died each time it was tried: it was killed, ran out of memory, or the "
    "engine crashed"
)
"""Why a picture could not be labelled that took its process down."""


def label_rows(rows: Iterable[Row], recipe: Recipe, workers: int) -> Iterator[LabelRow]:
    """Yield a label for each row, in the order in which they are ready; see `Labeller.label`.

    If a process dies, the pictures that were handed out are tried again one by one; a picture that takes its process
    down again is reported in its row's ``error``.

    Args:
        rows: pictures; read as they are needed.
        recipe: checked.
        workers: number of processes.

    Raises:
        CgsamError: the bundle or the engine cannot be opened, or the engine failed.
    """
    waiting = iter(rows)
    while lost := (yield from _together(waiting, recipe, workers)):
        yield from _alone(lost, recipe)


def _together(waiting: Iterator[Row], recipe: Recipe, workers: int) -> Generator[LabelRow, None, list[Row]]:
    """Label rows on all processes; return those that were handed out when a process died, empty at the end."""
    under_way: dict[Future[LabelRow], Row] = {}
    with pool(recipe, workers) as processes:
        try:
            while True:
                while len(under_way) < AHEAD * workers and (row := next(waiting, None)) is not None:
                    under_way[_submitted(processes, row, under_way)] = row
                if not under_way:
                    return []
                done = wait(under_way, _POLL, FIRST_COMPLETED).done
                for future in done:
                    result = future.result()
                    del under_way[future]
                    yield result
        except BrokenProcessPool:
            return list(under_way.values())


def _submitted(processes: ProcessPoolExecutor, row: Row, under_way: dict[Future[LabelRow], Row]) -> Future[LabelRow]:
    """Hand out a row; if a process has died meanwhile, the row is lost with the others."""
    try:
        return processes.submit(_label, dict(row))
    except BrokenProcessPool:
        under_way[Future()] = row
        raise


def _alone(rows: list[Row], recipe: Recipe) -> Iterator[LabelRow]:
    """Label rows one by one; one that takes its process down each time becomes an error."""
    left, tries = list(rows), 0
    while left:
        with pool(recipe, 1) as processes:
            try:
                while left:
                    result = processes.submit(_label, dict(left[0])).result()
                    left, tries = left[1:], 0
                    yield result
            except BrokenProcessPool:
                tries += 1
                if tries < _TRIES:
                    continue
                yield LabelRow(
                    str(left[0].get("name") or left[0].get("path")), str(left[0].get("stamp", "")), error=DIED
                )
                left, tries = left[1:], 0


@contextmanager
def pool(recipe: Recipe, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield processes that end with this one; they open an engine when they label their first picture."""
    context = multiprocessing.get_context("spawn")  # a fork would copy an engine's threads half
    processes = ProcessPoolExecutor(workers, context, _prepare, (recipe,))
    try:
        yield processes
    finally:
        processes.shutdown(wait=True, cancel_futures=True)


_recipe: Recipe | None = None
_labeller: Labeller | None = None


def _prepare(recipe: Recipe) -> None:
    """Set up a process: it ends with its parent, and leaves Ctrl-C to it."""
    global _recipe  # noqa: PLW0603 — a process has one labeller
    _recipe = recipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _label(row: Row) -> LabelRow:
    """Label a row; the first one opens the engine, so that its errors arrive as they are."""
    global _labeller  # noqa: PLW0603 — see above
    if _labeller is None:
        assert _recipe is not None
        _labeller = Labeller(_recipe)
    return _labeller.label(row)
