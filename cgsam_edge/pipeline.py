"""Work in stages that overlap: while the engine has one image, the next is decoded and the last one is drawn."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from cgsam_edge.errors import ImageError, InputError
from cgsam_edge.video import Frame

if TYPE_CHECKING:
    from cgsam_edge.results import Result
    from cgsam_edge.segmenter import Segmenter

T = TypeVar("T")

AHEAD = 4
"""Items under way at once: one read, one prepared, one in the engine, one that waits for the caller."""

Finished = Generator[tuple[T, "Future[Any]"], None, None]

_END: Any = object()
_POLL = 0.2
"""Seconds; Windows delivers Ctrl-C only between waits."""


class Stage:
    """One step of `overlap`.

    Args:
        work: makes of what the stage before returned, or of the item itself, what the next stage takes.
        threads: how many items it may work on at once. The order stays that of the items.

    Attributes:
        seconds: how long the work took so far, without waiting, all threads added up.
    """

    def __init__(self, work: Callable[[Any], Any], threads: int = 1) -> None:
        self.threads = threads
        self.seconds = 0.0
        self._work = work
        self._lock = threading.Lock()

    def after(self, before: Future[Any]) -> Any:
        """Wait for the stage before, and work on what it returned; its error is this stage's too."""
        value = before.result()
        if value is _END:
            return _END
        start = time.perf_counter()
        try:
            return self._work(value)
        finally:
            with self._lock:
                self.seconds += time.perf_counter() - start


def overlap(items: Iterable[T], *stages: Stage, ahead: int = AHEAD) -> Finished[T]:
    """Send items through the stages, each in threads of its own, and yield them in their order.

    Yields the item and the finished future of its last stage: ``result()`` returns what that returned, or raises what
    a stage raised for this item. Close the iterator (`contextlib.closing`) to stop early: nothing new begins, the
    reading of ``items`` is waited for, and work that goes on elsewhere ends by itself, unseen.

    Args:
        items: iterated in a thread of its own; what it raises is raised here, after the items before it.
        stages: in their order.
        ahead: how many items are held at once, from being read to being yielded; the memory's bound.
    """
    pools = [ThreadPoolExecutor(threads, "cgsam") for threads in (1, *(stage.threads for stage in stages))]
    reader = iter(items)
    under_way: deque[tuple[Future[T], Future[Any]]] = deque()
    try:
        while True:
            while len(under_way) < ahead:
                under_way.append(_submit(reader, pools, stages))
            read, done = under_way.popleft()
            _await(done)
            item = read.result()
            if item is _END:
                return
            yield item, done
            del item, read, done  # or this frame would keep them while it waits for the next
    finally:
        for pool in pools[1:]:
            pool.shutdown(wait=False, cancel_futures=True)
        pools[0].shutdown(wait=True, cancel_futures=True)  # the items are the caller's again


def _submit(
    reader: Iterator[T], pools: list[ThreadPoolExecutor], stages: tuple[Stage, ...]
) -> tuple[Future[T], Future[Any]]:
    read: Future[T] = pools[0].submit(next, reader, _END)
    done: Future[Any] = read
    for pool, stage in zip(pools[1:], stages, strict=True):
        done = pool.submit(stage.after, done)
    return read, done


def _await(future: Future[Any]) -> None:
    while not wait([future], _POLL).done:
        pass


def stream(
    segmenter: Segmenter,
    sources: Iterable[T],
    concepts: Sequence[str],
    on_error: Callable[[T, ImageError], object] | None,
    ahead: int,
) -> Generator[tuple[T, Result], None, None]:
    """Do what `Segmenter.stream_images` says; mistakes of the call are raised at once, not at the first result."""
    if ahead < 1:
        raise InputError(f"ahead must be 1 or more, got {ahead}.")
    prepare = Stage(lambda source: segmenter.prepare(source.image if isinstance(source, Frame) else source))
    segment = Stage(lambda prepared: segmenter.segment(prepared, concepts))
    return _results(overlap(sources, prepare, segment, ahead=ahead), on_error)


def _results(
    finished: Finished[T], on_error: Callable[[T, ImageError], object] | None
) -> Generator[tuple[T, Result], None, None]:
    with closing(finished):
        for source, done in finished:
            try:
                result = done.result()
            except ImageError as error:
                if on_error is None:
                    raise
                on_error(source, error)
            else:
                yield source, result
                del result
            del source, done
