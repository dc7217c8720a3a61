"""`Encoded`: an image that was encoded once, and everything that can be asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from cgsam_edge.concept_decoder import ConceptDecoder
from cgsam_edge.errors import InputError
from cgsam_edge.limits import Limits
from cgsam_edge.prompts import check_clicks
from cgsam_edge.results import ConceptResult, Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from PIL import Image

    from cgsam_edge.opened_model import Concepts, OpenedModel
    from cgsam_edge.vocabulary import Vocabulary

    Float = NDArray[np.float32]


class Encoded:
    """An encoded image: ask it for any number of concepts and prompts. Made by `Segmenter.encode`.

    Attributes:
        image: the RGB image.
    """

    def __init__(self, model: OpenedModel, image: Image.Image, features: Mapping[str, Float], cache_bytes: int) -> None:
        self.image = image
        self._model = model
        self._decoder = ConceptDecoder(model, image, features, cache_bytes)

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts that can be asked for."""
        return self._model.vocabulary

    @property
    def features(self) -> Mapping[str, Float]:
        """What the graphs gave that run once an image, by name, float32 as the manifest says; not to be changed."""
        return MappingProxyType(dict(self._decoder.features))

    def segment(
        self,
        concepts: Concepts = None,
        *,
        max_concepts: int | None = None,
        time_budget: float | None = None,
        skip_absent: bool = True,
    ) -> Result:
        """Segment from text alone; see `Segmenter.segment`. The time counts from this call."""
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

        What is likely is judged by CLIP's similarity alone, for all concepts at once; those that it rules out come
        last. What the limits leave out does not come at all. The arguments and errors are those of
        `Segmenter.segment`; the time counts from this call, the caller's own work between the results included.
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
    ) -> ConceptResult:
        """Segment one concept from text with clicks and a box; without either, from text alone.

        Args:
            concept: name or synonym.
            points: (N, 2) as (x, y) in the image's pixels, fractions allowed.
            labels: (N,), 1 inside and 0 outside the object; None means all inside.
            box: (4,) as (x0, y0, x1, y1) in the image's pixels.

        Raises:
            UnknownConceptError: the bundle does not hold the concept.
            PromptError: the prompt has a wrong shape, is outside the image, or has more points than slots.
        """
        index = self.vocabulary.index(concept)
        clicks = check_clicks(points, labels, box, self.image.size, self._model.prompting.click_slots)
        if not len(clicks.points) and clicks.box is None:
            self._model.warn_of_prompts("text")
            return self._decoder.decode(index)
        self._model.warn_of_prompts("clicks")
        return self._decoder.decode(index, clicks)

    def ruled_out(self, concepts: Concepts = None) -> tuple[str, ...]:
        """Return the names of those concepts that similarity alone rules out; none where nothing was calibrated.

        Args:
            concepts: names or synonyms; None means all.

        Raises:
            UnknownConceptError: the bundle does not hold a concept.
        """
        ruled_out = self._decoder.screened.ruled_out
        return tuple(self.vocabulary.names[i] for i in self._model.indices(concepts) if ruled_out[i])

    def peaks(self) -> Float:
        """Return the greatest similarity of a patch with each concept of the vocabulary, (N,): a cheap first guess."""
        return self._decoder.screened.peaks

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "an encoded image belongs to the engine that encoded it and cannot be pickled. Send the segmenter and the "
            "image, and encode it there; results can be pickled."
        )
