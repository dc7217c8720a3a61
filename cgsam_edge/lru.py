"""A cache of arrays, limited by its number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from cgsam_edge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np
    from numpy.typing import NDArray

    Float = NDArray[np.float32]


class ArrayCache:
    """The most recently used arrays, by a key. Safe to use from several threads.

    Args:
        limit: total bytes of the cached arrays; a larger array is not cached, and 0 caches nothing.

    Raises:
        InputError: the limit is negative or not a whole number.
    """

    def __init__(self, limit: int) -> None:
        self._limit = check_bytes(limit)
        self._kept: OrderedDict[Hashable, Float] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Float | None:
        """Return the array under a key, or None."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Hashable, array: Float) -> None:
        """Store an array, and drop the least recently used ones."""
        with self._lock:
            before = self._kept.pop(key, None)
            self._bytes += array.nbytes - (0 if before is None else before.nbytes)
            self._kept[key] = array
            while self._bytes > self._limit:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes

    def __len__(self) -> int:
        return len(self._kept)


def check_bytes(limit: int) -> int:
    """Check and return the limit of a cache.

    Raises:
        InputError: it is negative or not a whole number.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise InputError(f"cache_bytes must be a whole number of bytes, 0 or more, got {limit!r}.")
    return limit
