"""The pictures of an animated file (GIF, WebP, APNG, AVIF) as the frames of a video."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from os import PathLike, fsdecode

import numpy as np

from cgsam_edge.errors import ImageError
from cgsam_edge.image_files import explained, is_animation, opened, picture_of
from cgsam_edge.video import Frame, check_every

_USUAL_DURATION = 0.1
"""Seconds for which browsers show a picture that states no duration."""


class Animation:
    """The pictures of an animated file, to iterate over as over a `Video`; each has its own duration.

    Args:
        path: a GIF, an animated WebP, PNG or AVIF.
        every: take each Nth picture, beginning with the first.

    Attributes:
        path: as given.
        every: as given.
        fps: always None: each picture states how long it is shown.

    Raises:
        ImageError: there is no such file, or it is not an animation.
        InputError: ``every`` is not a whole number of 1 or more.
    """

    fps = None

    def __init__(self, path: str | PathLike[str], every: int = 1) -> None:
        check_every(every)
        self.path = fsdecode(path)
        self.every = every
        with opened(self.path) as image:
            if not is_animation(image):
                raise ImageError(f"{self.path}: not an animation: it holds a single picture, or pages.")
            self._count: int = image.n_frames  # type: ignore[attr-defined]  # of the formats that have several

    def expected(self) -> int:
        """Return how many pictures iterating yields."""
        return -(-self._count // self.every)

    def clock_rate(self) -> float | None:
        """Return the frame rate at which all times can be kept, which the shortest duration sets."""
        return round(1 / min(self._durations), 3)

    def __iter__(self) -> Iterator[Frame]:
        starts = [0.0, *accumulate(self._durations)]
        with opened(self.path) as image:
            for number in range(0, self._count, self.every):
                with explained(self.path):
                    image.seek(number)
                until = starts[min(number + self.every, self._count)]
                pixels = np.asarray(picture_of(image, self.path))
                yield Frame(number, round(starts[number], 6), pixels, round(until - starts[number], 6))

    @cached_property
    def _durations(self) -> list[float]:
        """Seconds for which each picture is shown."""
        found = []
        with opened(self.path) as image:
            for number in range(self._count):
                with explained(self.path):
                    image.seek(number)
                    image.load()  # some formats know the duration only after that
                milliseconds = image.info.get("duration") or 0
                found.append(milliseconds / 1000 if milliseconds >= 1 else _USUAL_DURATION)
        return found
