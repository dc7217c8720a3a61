"""`WorkQueue`: the engine's threads, and a bounded number of requests that wait for them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from cgsam_edge.serve.refusal import Refusal
from cgsam_edge.wording import amount

T = TypeVar("T")


@dataclass
class Turn:
    """A request's turn at the engine.

    Attributes:
        deadline: `time.monotonic` by which the answer must be ready.
        waited: seconds that the request has waited for the engine.
        abandoned: whether nobody waits for the answer any more.
    """

    deadline: float
    waited: float = 0.0
    abandoned: bool = False

    @property
    def left(self) -> float:
        """Seconds until the deadline; 0 once nobody waits."""
        return 0.0 if self.abandoned else max(0.0, self.deadline - time.monotonic())


class WorkQueue:
    """Runs work in threads, in the order in which it came, and refuses what the queue has no place for.

    Args:
        workers: how many run at once.
        waiting: how many may wait beside them.
        usual: seconds that work is expected to take, until the queue has seen some.
    """

    def __init__(self, workers: int, waiting: int, usual: float = 0.0) -> None:
        self.places = workers + waiting
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="cgsam-serve")
        self._taken = 0
        self._mean, self._spread = usual, 0.0
        self._running: dict[int, float] = {}
        self._lock = threading.RLock()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many requests wait now."""
        return max(0, self._taken - self._workers)

    async def run(self, work: Callable[[Turn], T], timeout: float, gone: Callable[[], Awaitable[object]]) -> T:
        """Return what ``work`` returns.

        Args:
            work: runs in a thread.
            timeout: seconds, waiting included.
            gone: returns once the client has left: work that has not begun is then dropped.

        Raises:
            Refusal: 429 if the queue is full or would take longer than the time allows, 503 after the timeout or while
                the server stops, 499 if the client left.
        """
        self._take(timeout)
        turn = Turn(time.monotonic() + timeout)
        held = [work]
        del work  # an error's traceback would keep it, with the picture
        future = self._submit(held, turn)
        answer, leaving = asyncio.wrap_future(future), asyncio.ensure_future(gone())
        either: set[asyncio.Future[Any]] = {answer, leaving}
        try:
            await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if leaving.done():
                raise Refusal(_CLIENT_LEFT, "the client closed the connection.")
            raise Refusal(503, f"no answer within {timeout:g} s: the server is busy. Try again later.", Retry_After="5")
        finally:
            turn.abandoned = not answer.done()
            answer.cancel()  # drops work that has not begun; what runs sees that its turn is abandoned
            leaving.cancel()
            held.clear()  # the pool keeps what was dropped until its place comes up: without the picture

    def close(self) -> None:
        """Drop what waits, and return once what runs is done."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def check(self, timeout: float) -> None:
        """Refuse as `run` would now: for requests whose body has not been read yet, which then need not be.

        Raises:
            Refusal: 429 if there is no place or no time, 503 while the server stops.
        """
        with self._lock:
            if self._closed:
                raise Refusal(503, "the server is stopping.", Retry_After="5")
            if self._taken >= self.places:
                waiting = amount(self.places - self._workers, "request")
                raise Refusal(429, f"{waiting} waiting already, which is the limit. Try again.", Retry_After="1")
            usual = self._usual()
            expected = (self._taken + 1) * usual / self._workers
            if self._taken >= self._workers and expected > _SHARE * timeout:
                raise Refusal(
                    429,
                    f"{amount(self._taken, 'request')} before this one: an answer would take about {expected:.0f} s; "
                    f"the limit is {timeout:g} s. Try again.",
                    Retry_After=str(max(1, round(usual))),
                )

    def _take(self, timeout: float) -> None:
        with self._lock:
            self.check(timeout)
            self._taken += 1

    def _submit(self, held: list[Callable[[Turn], T]], turn: Turn) -> Future[T]:
        started = time.monotonic()

        def begin() -> T:
            if not held:
                raise Refusal(_CLIENT_LEFT, "the request was dropped.")
            work, begun = held.pop(), time.monotonic()
            turn.waited = begun - started
            self._running[id(turn)] = begun
            try:
                return work(turn)
            finally:
                del self._running[id(turn)]
                self._learn(time.monotonic() - begun)

        try:
            future = self._pool.submit(begin)
        except RuntimeError as error:  # closed meanwhile
            self._leave()
            raise Refusal(503, "the server is stopping.", Retry_After="5") from error
        future.add_done_callback(lambda _: self._leave())
        return future

    def _usual(self) -> float:
        """Return the seconds that work takes, with a margin, or what the longest one that runs has taken already."""
        now = time.monotonic()
        return max(self._mean + self._spread, *(now - begun for begun in list(self._running.values())), 0.0)

    def _learn(self, seconds: float) -> None:
        with self._lock:
            self._spread += (abs(seconds - self._mean) - self._spread) * (_WEIGHT if self._mean else 0)
            self._mean += (seconds - self._mean) * (_WEIGHT if self._mean else 1)

    def _leave(self) -> None:
        with self._lock:
            self._taken -= 1


_SHARE = 0.5
"""How much of the time allowed the queue may be expected to take; some works are longer than others."""

_WEIGHT = 0.2
"""Weight of the newest work in the mean, and in the mean distance from it."""

_CLIENT_LEFT = 499
"""nginx's status for a client that left; nobody reads it."""
