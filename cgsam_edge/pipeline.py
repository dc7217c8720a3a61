"""Work in stages that overlap: while the engine has one image, the next is decoded and the previous one drawn."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from io import IOBase
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from cgsam_edge.errors import ImageError, InputError
from cgsam_edge.image import Prepared, pixel_count
from cgsam_edge.video import Frame

if TYPE_CHECKING:
    from cgsam_edge.results import Result
    from cgsam_edge.segmenter import Segmenter
    from cgsam_edge.tracked import Tracking

T = TypeVar("T")

AHEAD = 4
"""Items in progress at once: one read, one prepared, one in the engine, one waiting for the caller."""

MOST_BYTES = 1_150_000_000
"""Most bytes of all items in progress, unless a single one takes more."""

_SHARE_OF_MEMORY = 4
"""Largest share of a small machine's memory."""

PREPARED_BYTES = 4
"""Bytes for each pixel of a decoded image: Pillow stores RGB in four bytes."""

Processed = Generator[tuple[T, "Future[Any]"], None, None]

_END: Any = object()
_POLL = 0.2
"""Seconds; Windows delivers Ctrl-C only between waits."""


class Stage:
    """One step of `overlap`.

    Args:
        work: turns the previous stage's result, or the item itself, into the next stage's input.
        threads: number of items it may work on at once. The order of the items is kept.

    Attributes:
        seconds: working time so far without waiting, summed over all threads.
    """

    def __init__(self, work: Callable[[Any], Any], threads: int = 1) -> None:
        self.threads = threads
        self.seconds = 0.0
        self._work = work
        self._lock = threading.Lock()

    def after(self, before: Future[Any]) -> Any:
        """Wait for the previous stage, and process its result; its error becomes this stage's error."""
        value = before.result()
        if value is _END:
            return _END
        if isinstance(value, _Weighed):
            value = value.item
        start = time.perf_counter()
        try:
            return self._work(value)
        finally:
            with self._lock:
                self.seconds += time.perf_counter() - start


def overlap(
    items: Iterable[T],
    *stages: Stage,
    ahead: int = AHEAD,
    weigh: Callable[[T], int] | None = None,
    most: int | None = None,
) -> Processed[T]:
    """Send items through the stages, each with its own threads, and yield them in their order.

    Yields the item and the finished future of its last stage: ``result()`` returns that stage's result, or raises the
    error of a stage for this item. Close the iterator (`contextlib.closing`) to stop early: nothing new is started, the
    current read of ``items`` is awaited, and work already running ends unobserved.

    Args:
        items: iterated in a separate thread; an error in it is raised here, after the items before it.
        stages: in their order.
        ahead: number of items held at once, from reading to yielding.
        weigh: function that returns an item's bytes until it is yielded; None counts nothing.
        most: most bytes of all items together; a larger item is processed alone. None means `most_bytes`.
    """
    pools = [ThreadPoolExecutor(threads, "cgsam") for threads in (1, *(stage.threads for stage in stages))]
    reader = _Reader(iter(items), weigh, most_bytes() if most is None else most)
    under_way: deque[tuple[Future[Any], Future[Any]]] = deque()
    try:
        while True:
            while len(under_way) < ahead:
                under_way.append(_submit(reader, pools, stages))
            read, done = under_way.popleft()
            _await(done)
            weighed = read.result()
            if weighed is _END:
                return
            yield weighed.item, done
            reader.leave(weighed.weight)
            del weighed, read, done  # otherwise this frame would keep them while it waits for the next
    finally:
        reader.stop()
        for pool in pools[1:]:
            pool.shutdown(wait=False, cancel_futures=True)
        pools[0].shutdown(wait=True, cancel_futures=True)  # the items belong to the caller again


def most_bytes() -> int:
    """Return `MOST_BYTES`, or a quarter of the machine's memory where that is less."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return MOST_BYTES
    return min(MOST_BYTES, memory // _SHARE_OF_MEMORY)


class _Weighed(NamedTuple):
    """An item that was read, with its weight."""

    item: Any
    weight: int


class _Reader:
    """Reads items one by one, each as soon as there is room for it."""

    def __init__(self, items: Iterator[Any], weigh: Callable[[Any], int] | None, most: int) -> None:
        self._items, self._weigh, self._most = items, weigh, most
        self._taken = 0
        self._stopped = False
        self._changed = threading.Condition()

    def read(self) -> Any:
        """Return the next item as `_Weighed`, or `_END`."""
        item = next(self._items, _END)
        if item is _END:
            return _END
        weight = 0 if self._weigh is None else self._weigh(item)
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._taken or self._taken + weight <= self._most)
            self._taken += weight
        return _Weighed(item, weight)

    def leave(self, weight: int) -> None:
        """Release the room that an item takes."""
        with self._changed:
            self._taken -= weight
            self._changed.notify()

    def stop(self) -> None:
        """Stop all waiting, also that of a camera's iterator for its next frame."""
        interrupt = getattr(self._items, "interrupt", None)
        if interrupt is not None:
            interrupt()
        with self._changed:
            self._stopped = True
            self._changed.notify()


def _submit(
    reader: _Reader, pools: list[ThreadPoolExecutor], stages: tuple[Stage, ...]
) -> tuple[Future[Any], Future[Any]]:
    read: Future[Any] = pools[0].submit(reader.read)
    done = read
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
    ahead: int | None,
    follow: Callable[[Result], Result] | None = None,
) -> Generator[tuple[T, Result], None, None]:
    """Implement `Segmenter.stream_images`; wrong arguments raise at once, not at the first result.

    Args:
        segmenter: runs the engine.
        sources: images or frames.
        concepts: names.
        on_error: called with a source that cannot be used.
        ahead: images in progress at once.
        follow: takes each result in order, and returns what is yielded; None yields the results themselves.
    """
    if ahead is None:
        ahead = 1 if getattr(sources, "live", False) else AHEAD  # a camera's frames would age while they wait
    if not isinstance(ahead, int) or isinstance(ahead, bool) or ahead < 1:
        raise InputError(f"ahead must be a whole number, 1 or more, got {ahead!r}.")
    check_several(sources)
    prepare = Stage(lambda source: segmenter.prepare(source.image if isinstance(source, Frame) else source))
    segment = Stage(lambda prepared: segmenter.segment(prepared, concepts))
    stages = (prepare, segment) if follow is None else (prepare, segment, Stage(follow))
    return _results(overlap(sources, *stages, ahead=ahead, weigh=weight), on_error)


def check_several(sources: object) -> None:
    """Raise `InputError` for one image where several are wanted: iterating it would yield rows, letters or nothing."""
    alone = isinstance(sources, (str, bytes, bytearray, PathLike, Image.Image, Prepared, Frame, IOBase))
    if isinstance(sources, np.ndarray):
        alone = sources.ndim <= 3  # a batch has four dimensions
    iterable = isinstance(sources, Iterable) or hasattr(sources, "__getitem__")  # as many data sets are
    if alone or not iterable:
        raise InputError(
            f"sources must be several images, such as a list of paths or arrays, or a Video or Camera; got one "
            f"{type(sources).__name__}. For one image use segment; for several in one array pass list(array); for the "
            "frames of a file pass Video(path)."
        )


def follow_up(segmenter: Segmenter, *, track: bool | Tracking, smooth: float) -> Callable[[Result], Result] | None:
    """Return what ``track`` and ``smooth`` of `Segmenter.stream_images` do to each result in order; None for nothing.

    Raises:
        InputError: either is not valid.
    """
    if track is False and smooth == 0 and not isinstance(smooth, bool):
        return None
    from cgsam_edge.live.follower import Follower  # imported only where asked for

    return Follower(segmenter.bundle.vocabulary, track=track, smooth=smooth).follow


def weight(source: object) -> int:
    """Return the bytes of an image once decoded; 0 if that is not known in advance."""
    return PREPARED_BYTES * pixel_count(source.image if isinstance(source, Frame) else source)


def _results(
    processed: Processed[T], on_error: Callable[[T, ImageError], object] | None
) -> Generator[tuple[T, Result], None, None]:
    with closing(processed):
        for source, done in processed:
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
