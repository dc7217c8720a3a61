"""Arrays kept for the next time, as many as fit a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from cgsam_edge.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Float = NDArray[np.float32]


class ArrayCache:
    """The arrays that were used last, by an integer key. Safe to use from several threads.

    Args:
        limit: bytes that all kept arrays may take together; an array over that is not kept, and 0 keeps none.

    Raises:
        InputError: the limit is negative or no whole number.
    """

    def __init__(self, limit: int) -> None:
        self._limit = check_bytes(limit)
        self._kept: OrderedDict[int, Float] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: int) -> Float | None:
        """Return what was kept under a key, or None."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: int, array: Float) -> None:
        """Keep an array, and let go of those whose use is longest ago."""
        with self._lock:
            before = self._kept.pop(key, None)
            self._bytes += array.nbytes - (0 if before is None else before.nbytes)
            self._kept[key] = array
            while self._bytes > self._limit:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes

    def __len__(self) -> int:
        return len(self._kept)


def check_bytes(limit: int) -> int:
    """Return the limit of a cache.

    Raises:
        InputError: it is negative or no whole number.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise InputError(f"cache_bytes must be a whole number of bytes, 0 or more, got {limit!r}.")
    return limit
