"""`KeptImages`: pictures that were encoded, by the digest of their file, so that a click costs only the decoder."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cgsam_edge.encoded import Encoded

PREFIX = "sha256:"


def handle_of(data: bytes) -> str:
    """Return the handle of a picture's file: the digest of its bytes."""
    return PREFIX + hashlib.sha256(data).hexdigest()


class KeptImages:
    """The most recently used pictures, limited by their bytes. Safe to use from several threads.

    Args:
        limit: total bytes; the newest picture is kept even if it is larger.
        embeddings: most bytes of embeddings that a picture keeps for its concepts.
    """

    def __init__(self, limit: int, embeddings: int) -> None:
        self._limit = limit
        self._embeddings = embeddings
        self._kept: OrderedDict[str, tuple[Encoded, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, handle: str) -> Encoded | None:
        """Return a picture, or None if it was never there or has been dropped."""
        with self._lock:
            if handle not in self._kept:
                return None
            self._kept.move_to_end(handle)
            return self._kept[handle][0]

    def put(self, handle: str, encoded: Encoded) -> None:
        """Keep a picture, and drop the least recently used ones beyond the limit."""
        with self._lock:
            size = self._size(encoded)
            self._bytes += size - self._kept.pop(handle, (None, 0))[1]
            self._kept[handle] = encoded, size
            while self._bytes > self._limit and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1][1]

    @property
    def bytes(self) -> int:
        """Bytes of all pictures that are kept."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    def _size(self, encoded: Encoded) -> int:
        width, height = encoded.image.size
        features = sum(array.nbytes for array in encoded.features.values())
        return (
            4 * width * height + features + encoded.part_bytes + self._embeddings
        )  # Pillow keeps RGB in 4 bytes a pixel
