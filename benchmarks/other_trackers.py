"""Trackers of the library ``trackers``, for comparison: ``pip install trackers``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.quality.identity import Numbered

if TYPE_CHECKING:
    from cgsam_edge.objects import ObjectMask
    from cgsam_edge.results import Result

NAMES = {"ByteTrack": "ByteTrackTracker"}


def installed() -> bool:
    """Whether the library is installed."""
    return find_spec("trackers") is not None


def tracker(name: str, concepts: Iterable[str], rate: float) -> Callable[[Result], list[Numbered]]:
    """Return a function that numbers the objects of successive frames, with one of the library's trackers per concept.

    It sees boxes, not masks, and confirms an object in its second frame as this project's tracker does.
    """
    import trackers  # type: ignore[import-not-found, unused-ignore]

    made = {
        concept: getattr(trackers, NAMES[name])(frame_rate=rate, minimum_consecutive_frames=2) for concept in concepts
    }
    return lambda result: [
        one
        for concept, tracker in made.items()
        for one in _numbered(tracker, result[concept].objects() if result[concept].present else ())
    ]


def _numbered(tracker: Any, objects: tuple[ObjectMask, ...]) -> list[Numbered]:
    import supervision

    corners = [(x, y, x + width, y + height) for x, y, width, height in (one.box for one in objects)]
    found = supervision.Detections(
        xyxy=np.array(corners, float).reshape(-1, 4),
        confidence=np.full(len(objects), 0.9),
        class_id=np.zeros(len(objects), int),
        data={"place": np.arange(len(objects))},
    )
    tracked = tracker.update(found)
    numbers = [] if tracked.tracker_id is None else tracked.tracker_id.tolist()
    places = tracked.data.get("place", [])
    pairs = [(objects[int(place)], number) for place, number in zip(places, numbers, strict=True)]
    return [Numbered(number, one.concept, one.mask) for one, number in pairs if number is not None and number >= 0]
