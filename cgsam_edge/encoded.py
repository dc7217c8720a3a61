"""`Encoded`: an image that was encoded once, for any number of concepts and prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from cgsam_edge.concept_decoder import ConceptDecoder
from cgsam_edge.errors import InputError, PromptError
from cgsam_edge.image import load_prepared
from cgsam_edge.limits import Limits
from cgsam_edge.prompts import check_clicks
from cgsam_edge.results import ConceptResult, Result
from cgsam_edge.zoom import Window, inside, placed, window_around

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from PIL import Image

    from cgsam_edge.opened_model import Concepts, OpenedModel
    from cgsam_edge.vocabulary import Vocabulary

    Float = NDArray[np.float32]


class Encoded:
    """An encoded image: computes masks for any number of concepts and prompts. Made by `Segmenter.encode`.

    Attributes:
        image: the RGB image.
    """

    def __init__(self, model: OpenedModel, image: Image.Image, features: Mapping[str, Float], cache_bytes: int) -> None:
        self.image = image
        self._model = model
        self._decoder = ConceptDecoder(model, image, features, cache_bytes)
        self._cache_bytes = cache_bytes
        self._zoomed: tuple[Window | None, ConceptDecoder] = None, self._decoder

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts of the bundle."""
        return self._model.vocabulary

    @property
    def features(self) -> Mapping[str, Float]:
        """Outputs of the graphs that run once per image, by name, float32 as the manifest lists them; read-only."""
        return MappingProxyType(dict(self._decoder.features))

    def segment(
        self,
        concepts: Concepts = None,
        *,
        max_concepts: int | None = None,
        time_budget: float | None = None,
        skip_absent: bool = True,
    ) -> Result:
        """Segment from text alone; see `Segmenter.segment`. The time budget starts with this call."""
        limits = Limits(max_concepts, time_budget, skip_absent)
        indices = self._model.indices(concepts)
        self._model.warn_of_prompts("text")
        return self._decoder.segment(indices, limits)

    def stream(
        self,
        concepts: Concepts = None,
        *,
        max_concepts: int | None = None,
        time_budget: float | None = None,
        skip_absent: bool = True,
    ) -> Iterator[ConceptResult]:
        """Segment from text alone, and yield each concept as soon as it is ready, the likeliest first.

        CLIP's similarity alone decides what is likely, for all concepts at once; concepts that it rules out come last.
        Concepts beyond the limits are not yielded. The arguments and errors are those of `Segmenter.segment`; the time
        budget starts with this call and includes the caller's own work between the results.
        """
        limits = Limits(max_concepts, time_budget, skip_absent)
        indices = self._model.indices(concepts)
        self._model.warn_of_prompts("text")
        return self._decoder.results(indices, limits, {})

    def predict(
        self,
        concept: str,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        *,
        zoom: bool = False,
    ) -> ConceptResult:
        """Segment one concept from text with clicks and a box; without either, from text alone.

        Args:
            concept: name or synonym.
            points: (N, 2) as (x, y) in the image's pixels, fractions allowed.
            labels: (N,), 1 inside and 0 outside the object; None means all inside.
            box: (4,) as (x0, y0, x1, y1) in the image's pixels.
            zoom: encode the surroundings of the box and of the clicks inside, half as wide again, in the model's full
                size: a sharper mask of a small thing, for the time of another image. The result is then a
                `cgsam_edge.zoom.ZoomedConcept`, whose mask ends at the edges of these surroundings. The last
                surroundings are kept for further calls. Where they are over four fifths of the image, zoom changes
                nothing.

        Raises:
            UnknownConceptError: the bundle does not hold the concept.
            PromptError: the prompt has a wrong shape, is outside the image, or has more points than slots, or there is
                no box to zoom in on.
        """
        index = self.vocabulary.index(concept)
        clicks = check_clicks(points, labels, box, self.image.size, self._model.prompting.click_slots)
        if zoom and clicks.box is None:
            raise PromptError("zoom needs a box to zoom in on: give a box too, or leave zoom out.")
        if not len(clicks.points) and clicks.box is None:
            self._model.warn_of_prompts("text")
            return self._decoder.decode(index)
        self._model.warn_of_prompts("clicks")
        if zoom and (window := window_around(clicks, self.image.size, self._model.geometry.image_size)):
            found = self._near(window).decode(index, inside(clicks, window))
            return placed(found, clicks, window, self.image.size)
        return self._decoder.decode(index, clicks)

    def _near(self, window: Window) -> ConceptDecoder:
        """Return the decoder of a part of the image; the last one is kept."""
        kept, decoder = self._zoomed
        if kept == window:
            return decoder
        prepared = load_prepared(self.image.crop(window), self._model.geometry.image_size)
        decoder = ConceptDecoder(self._model, prepared.image, self._model.features(prepared.pixels), self._cache_bytes)
        self._zoomed = window, decoder
        return decoder

    def ruled_out(self, concepts: Concepts = None) -> tuple[str, ...]:
        """Return the names of the concepts that similarity alone rules out; empty if nothing was calibrated.

        Args:
            concepts: names or synonyms; None means all.

        Raises:
            UnknownConceptError: the bundle does not hold a concept.
        """
        ruled_out = self._decoder.screened.ruled_out
        return tuple(self.vocabulary.names[i] for i in self._model.indices(concepts) if ruled_out[i])

    def peaks(self) -> Float:
        """Return the greatest similarity of any patch with each concept of the vocabulary, (N,): a cheap estimate."""
        return self._decoder.screened.peaks

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "an encoded image belongs to the engine that encoded it and cannot be pickled. Send the segmenter and the "
            "image instead, and encode the image there; results can be pickled."
        )
