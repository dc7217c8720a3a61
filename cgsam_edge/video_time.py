"""The times of a video's frames: whether they end where they should, and what constant rate can show them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_TOLERANCE = 0.02
"""Share by which a container's count of frames may be too high: some derive it from the length in seconds."""

_FASTEST_USUAL = 120
"""Frames a second. A higher figure is usually the container's clock, unless the frames themselves are that close."""

_SHORTEST_GAP = 0.002
"""Seconds. Frames closer to each other than that have no usable times."""


class Clock:
    """Records the times of frames.

    Attributes:
        last: the latest time so far, in seconds.
    """

    def __init__(self) -> None:
        self.last = 0.0
        self._longest = 0.0
        self._started = False

    def tick(self, seconds: float) -> None:
        """Record a frame's time."""
        if self._started:
            self._longest = max(self._longest, seconds - self.last)
        self.last, self._started = max(self.last, seconds), True

    @staticmethod
    def enough(found: int, count: int) -> bool:
        """Whether the number of frames is about right."""
        return found >= count - max(2, _TOLERANCE * count)

    def misses(self, length: float, fps: float, *, sparse: bool) -> bool:
        """Whether the end of the video is missing.

        Args:
            length: length of the whole video in seconds.
            fps: its nominal rate.
            sparse: whether the last frame may last up to twice the longest interval between two frames.
        """
        pause = 2 * self._longest if sparse else 0.0
        return length - self.last > max(3 / fps, _TOLERANCE * length, pause)


def rate_of(times: Sequence[float], nominal: float | None) -> float | None:
    """Return a constant rate at which frames with these times can be shown without dropping one.

    Args:
        times: times of the first frames in seconds.
        nominal: the container's frames a second, or None.

    Returns:
        frames a second; None if neither the times nor the container are usable.
    """
    gaps = [after - before for before, after in pairwise(times) if after > before]
    if nominal is None or not gaps or min(gaps) < _SHORTEST_GAP:
        return nominal if nominal is not None and nominal <= _FASTEST_USUAL and len(times) < 2 else None
    closest = 1 / min(gaps)
    trusted = nominal <= _FASTEST_USUAL and closest <= 1.2 * nominal
    typical = 1 / sorted(gaps)[len(gaps) // 2]  # one short gap must not set the rate of the whole video
    return nominal if trusted else round(min(closest, max(typical, _FASTEST_USUAL)), 3)
