"""What ``track=`` and ``smooth=`` do to the results of a stream, in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cgsam_edge.errors import InputError
from cgsam_edge.live.smoothing import Smoother
from cgsam_edge.live.tracker import Tracker
from cgsam_edge.tracked import Tracking

if TYPE_CHECKING:
    from cgsam_edge.results import Result
    from cgsam_edge.vocabulary import Vocabulary


class Follower:
    """Smooths the results of successive frames, then gives their objects numbers; feed it every frame, in order.

    Args:
        vocabulary: the bundle's, for the thresholds of presence.
        track: whether to fill `Result.tracks`, or how.
        smooth: weight of the past, 0 to 0.95; 0 leaves masks and presence exactly as they are.

    Raises:
        InputError: ``track`` or ``smooth`` is not valid.
    """

    def __init__(self, vocabulary: Vocabulary, *, track: bool | Tracking, smooth: float) -> None:
        if not isinstance(track, (bool, Tracking)):
            raise InputError(f"track must be True, False or a cgsam_edge.Tracking, got {track!r:.60}.")
        thresholds = dict(zip(vocabulary.names, vocabulary.presence[:, -1].tolist(), strict=True))
        self._smoother = Smoother(smooth, thresholds)
        self._tracker = Tracker(track if isinstance(track, Tracking) else None) if track else None

    def follow(self, result: Result) -> Result:
        """Return the next frame's result, smoothed and with tracks."""
        result = self._smoother.update(result)
        return result if self._tracker is None else replace(result, tracks=self._tracker.update(result))
