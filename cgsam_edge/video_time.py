"""The times of a video's frames: whether they end where they should, and what constant rate can show them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_TOLERANCE = 0.02
"""By this share a container's count of frames may be too high: some derive it from the length in seconds."""

_FASTEST_USUAL = 120
"""Frames a second. What a container says beyond is rather its clock, unless the frames themselves are that close."""

_SHORTEST_GAP = 0.002
"""Seconds. Frames nearer to each other than that have no usable times."""


class Clock:
    """Watches frames go by.

    Attributes:
        last: the greatest time so far, in seconds.
    """

    def __init__(self) -> None:
        self.last = 0.0
        self._longest = 0.0
        self._started = False

    def tick(self, seconds: float) -> None:
        """Take note of a frame's time."""
        if self._started:
            self._longest = max(self._longest, seconds - self.last)
        self.last, self._started = max(self.last, seconds), True

    @staticmethod
    def enough(found: int, count: int) -> bool:
        """Whether these are about as many frames as there should be."""
        return found >= count - max(2, _TOLERANCE * count)

    def misses(self, length: float, fps: float, *, sparse: bool) -> bool:
        """Whether time is missing at the end.

        Args:
            length: of the whole video, in seconds.
            fps: its nominal rate.
            sparse: whether the last frame may stand as long as twice the longest wait between two frames.
        """
        pause = 2 * self._longest if sparse else 0.0
        return length - self.last > max(3 / fps, _TOLERANCE * length, pause)


def rate_of(times: Sequence[float], nominal: float | None) -> float | None:
    """Return a constant rate at which frames with these times can be shown without one overtaking the next.

    Args:
        times: of the first frames, in seconds.
        nominal: frames a second by the container, or None.

    Returns:
        frames a second; None where the times or the container say nothing that can be used.
    """
    gaps = [after - before for before, after in pairwise(times) if after > before]
    if nominal is None or not gaps or min(gaps) < _SHORTEST_GAP:
        return nominal if nominal is not None and nominal <= _FASTEST_USUAL and len(times) < 2 else None
    closest = 1 / min(gaps)
    trusted = nominal <= _FASTEST_USUAL and closest <= 1.2 * nominal
    typical = 1 / sorted(gaps)[len(gaps) // 2]  # one short gap must not set the rate of the whole video
    return nominal if trusted else round(min(closest, max(typical, _FASTEST_USUAL)), 3)
