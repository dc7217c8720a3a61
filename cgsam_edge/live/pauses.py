"""Pauses between attempts, each longer than the last."""

from __future__ import annotations

_FIRST = 0.25
"""Seconds."""


class Pauses:
    """Pauses that double up to a limit.

    Args:
        longest: seconds.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._pause = min(_FIRST, longest)

    def next(self) -> float:
        """Return the next pause in seconds."""
        pause = self._pause
        self._pause = min(2 * pause, self._longest)
        return pause

    def reset(self) -> None:
        """Begin anew with the shortest pause."""
        self._pause = min(_FIRST, self._longest)
