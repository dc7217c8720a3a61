"""`SegmentService`: what the engine's threads compute for a request."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from cgsam_edge.datasets import FORMATS
from cgsam_edge.errors import CgsamError, InputError
from cgsam_edge.limits import TIME_BUDGET
from cgsam_edge.results import Result
from cgsam_edge.serve import answers
from cgsam_edge.serve.kept_images import KeptImages, handle_of
from cgsam_edge.serve.refusal import Refusal
from cgsam_edge.serve.schemas import OF_PICTURES, KeptImage, Seconds
from cgsam_edge.serve.uploads import UNNAMED, Upload, opened

if TYPE_CHECKING:
    from cgsam_edge.encoded import Encoded
    from cgsam_edge.results import ConceptResult
    from cgsam_edge.segmenter import Segmenter
    from cgsam_edge.serve.schemas import SegmentOptions
    from cgsam_edge.serve.settings import ServeSettings
    from cgsam_edge.serve.work_queue import Turn

CACHE_BYTES = 32 * 2**20
"""Most bytes of embeddings that one kept picture holds for its concepts."""


MOST_WARM = 16
"""Concepts of the first picture."""


@dataclass(frozen=True)
class _Got:
    handle: str
    encoded: Encoded
    kept: bool
    seconds: float


class SegmentService:
    """Answers requests with one segmenter. Safe to use from several threads.

    Args:
        segmenter: the opened bundle.
        settings: limits.
        timed: is called with the name and the seconds of each part of an answer.
    """

    def __init__(self, segmenter: Segmenter, settings: ServeSettings, timed: Callable[[str, float], None]) -> None:
        self.segmenter = segmenter
        self.images = KeptImages(settings.image_memory, CACHE_BYTES)
        self._settings = settings
        self._timed = timed

    def warm_up(self) -> float:
        """Segment an empty picture by all concepts, and return the seconds: engines are slow the first time."""
        size = self.segmenter.bundle.manifest.geometry.image_size
        empty = Image.new("RGB", (size, size))
        names = self.segmenter.concepts[:MOST_WARM]
        for _ in range(2):
            started = time.perf_counter()
            self.segmenter.segment(empty, names, skip_absent=False)
        return time.perf_counter() - started

    def keep(self, upload: Upload, turn: Turn) -> KeptImage:
        """Encode a picture, and keep it for questions."""
        with _as_refusals(self.segmenter.bundle.path):
            got = self._picture(upload, turn)
        names, encoded = self.segmenter.concepts, got.encoded
        peaks = encoded.peaks()
        return KeptImage(
            image=got.handle,
            width=encoded.image.width,
            height=encoded.image.height,
            likeliest=[names[i] for i in sorted(range(len(names)), key=lambda i: -peaks[i])],
            ruled_out=list(encoded.ruled_out()),
            kept=got.kept,
            seconds=self._seconds(turn, got, 0.0),
        )

    def segment(self, picture: Upload | str, options: SegmentOptions, name: str, turn: Turn) -> answers.Answer:
        """Segment a picture.

        Args:
            picture: a file, or the handle of one that is kept.
            options: what to find, and the format of the answer.
            name: the picture's name in a data set.
            turn: its turn at the engine.

        Raises:
            Refusal: the picture or the question cannot be used, or the time is up.
        """
        with _as_refusals(self.segmenter.bundle.path):
            got = self._picture(picture, turn)
            started = time.perf_counter()
            try:
                result = self._result(got.encoded, options, turn)
            finally:
                if any(one.zoom for one in options.prompts):
                    self.images.put(got.handle, got.encoded)  # it has grown
            seconds = self._seconds(turn, got, time.perf_counter() - started)
            if options.format in OF_PICTURES:
                return answers.picture(result, options.format, name)
            if options.format in FORMATS:
                return answers.dataset(result, options.format, name, options.min_area)
            return answers.masks(result, got.handle, got.encoded.vocabulary, seconds, options.min_area)

    def _picture(self, picture: Upload | str, turn: Turn) -> _Got:
        handle = picture if isinstance(picture, str) else handle_of(picture.data)
        kept = self.images.get(handle)
        if kept is not None:
            return _Got(handle, kept, True, 0.0)
        if isinstance(picture, str):
            raise Refusal(404, "no picture has this handle, or it was dropped for newer ones: upload it again.")
        _check_time(turn)
        started = time.perf_counter()
        with opened(picture, self._settings.max_pixels) as image:
            encoded = self.segmenter.encode(image)
        self.images.put(handle, encoded)
        return _Got(handle, encoded, False, time.perf_counter() - started)

    def _result(self, encoded: Encoded, options: SegmentOptions, turn: Turn) -> Result:
        vocabulary = encoded.vocabulary
        prompted = {vocabulary.names[vocabulary.index(one.concept)]: one for one in options.prompts}
        if len(prompted) < len(options.prompts):
            raise Refusal(422, "two of the prompts name the same concept; put all of its clicks into one.")
        names = options.concepts if options.concepts is not None or prompted else list(vocabulary.names)
        text = [one for one in names or () if vocabulary.names[vocabulary.index(one)] not in prompted]
        found = self._from_text(encoded, text, options, turn)
        clicked: dict[str, ConceptResult] = {}
        for name, one in prompted.items():
            _check_time(turn)
            found_one = encoded.predict(
                name,
                one.points or None,
                one.labels or None,
                one.box,
                zoom=one.zoom,
                before_part=partial(_check_time, turn),
            )
            inside = one.points and (one.labels is None or 1 in one.labels)
            if options.format != "masks" and (inside or one.box):
                found_one = replace(found_one, present=True)  # whoever clicks on a thing says that it is there
            clicked[name] = found_one
        return Result(found.image, {**found.concepts, **clicked}, found.aliases, found.left_out)

    def _from_text(self, encoded: Encoded, names: list[str], options: SegmentOptions, turn: Turn) -> Result:
        left, wish = turn.left, options.time_budget
        _check_time(turn)
        found = encoded.segment(
            names,
            max_concepts=options.max_concepts,
            time_budget=left if wish is None else min(wish, left),
            skip_absent=options.skip_absent,
        )
        if TIME_BUDGET in found.left_out.values() and (wish is None or wish > left):
            raise _late(self._settings.timeout)
        return found

    def _seconds(self, turn: Turn, got: _Got, concepts: float) -> Seconds:
        seconds = Seconds(queue=turn.waited, image=got.seconds, concepts=concepts)
        for name, value in seconds:
            self._timed(name, value)
        return seconds


@contextmanager
def _as_refusals(bundle: Path) -> Iterator[None]:
    """Turn the package's errors into answers with a status, which do not show where the bundle lies."""
    try:
        yield
    except CgsamError as error:
        detail = str(error).replace(f"{bundle.parent}{os.sep}", "") if bundle.parent.name else str(error)
        raise Refusal(422 if isinstance(error, InputError) else 500, detail) from error
    except MemoryError as error:
        raise Refusal(503, "not enough memory for this picture.", Retry_After="5") from error


def name_of(picture: Upload | str, name: str | None) -> str:
    """Return the name of a picture in a data set."""
    return (picture.name if isinstance(picture, Upload) else name) or UNNAMED


def _check_time(turn: Turn) -> None:
    if turn.left <= 0:
        raise Refusal(503, "the time for this request is up: the server is busy. Try again later.", Retry_After="5")


def _late(timeout: float) -> Refusal:
    return Refusal(
        503,
        f"not all concepts were computed within {timeout:g} s. Name fewer, or set time_budget to get what was ready.",
        Retry_After="5",
    )
