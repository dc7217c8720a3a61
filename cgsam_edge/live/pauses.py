"""Pauses between attempts, each longer than the last."""

from __future__ import annotations

from cgsam_edge.errors import InputError

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


def positive_seconds(name: str, value: float) -> float:
    """Return a time that a user chose.

    Raises:
        InputError: it is not a positive number; the message begins with the option's name.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise InputError(f"{name} must be a positive number of seconds, got {value!r}.")
    return float(value)
