"""`Encoded`: an image that was encoded once, for any number of concepts and prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from cgsam_edge.concept_decoder import ConceptDecoder
from cgsam_edge.errors import InputError, PromptError
from cgsam_edge.image import to_pixels
from cgsam_edge.limits import Limits
from cgsam_edge.lru import ArrayCache
from cgsam_edge.prompts import Clicks, check_clicks
from cgsam_edge.results import ConceptResult, Result
from cgsam_edge.zoom import KEPT, Near, combined, zoomed
from cgsam_edge.zoom_windows import Window, holds, inside, windows_of

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
        self._embeddings = ArrayCache(cache_bytes)
        self._decoder = ConceptDecoder(model, image, features, self._embeddings)
        self._parts: dict[Window, ConceptDecoder] = {}

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts of the bundle."""
        return self._model.vocabulary

    @property
    def features(self) -> Mapping[str, Float]:
        """Outputs of the graphs that run once per image, by name, float32 as the manifest lists them; read-only."""
        return MappingProxyType(dict(self._decoder.features))

    @property
    def part_bytes(self) -> int:
        """Bytes of the parts that zoom keeps, without their embeddings, which share the cache of the image."""
        parts = [*self._parts.values()]
        features = sum(array.nbytes for one in parts for array in one.features.values())
        return features + sum(4 * one.image.width * one.image.height for one in parts)

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
        before_part: Callable[[], object] = lambda: None,
    ) -> ConceptResult:
        """Segment one concept from text with clicks and a box; without either, from text alone.

        Args:
            concept: name or synonym.
            points: (N, 2) as (x, y) in the image's pixels, fractions allowed.
            labels: (N,), 1 inside and 0 outside the object; None means all inside.
            box: (4,) as (x0, y0, x1, y1) in the image's pixels.
            zoom: compute the mask again in parts of the image that are encoded in the model's full size: around the
                box, or else around each click. Masks are sharper, those of small things above all, for the time of
                another image a part; the last `cgsam_edge.zoom.KEPT` parts are kept for further calls. The result is
                then a `cgsam_edge.zoom.ZoomedConcept`. Parts around clicks have sides of 0.4 of the image's. A box has
                parts of two sizes, up to 0.4 and 0.3 and up to 13 of them, or, if it is wider or higher than 0.6 of
                the image, up to nine of 0.4. The mask then ends at the box, and without clicks it is extended to sides
                of the box that it does not quite reach. If one part holds all of the box, clicks outside of all parts
                have no effect. A part's shorter side is a tenth of the model's at least; where that is over 0.8 of the
                image's, zoom changes nothing.
            before_part: called before each part of zoom; what it raises ends the call, for apps that limit its time.

        Raises:
            InputError: ``concept`` is no name.
            UnknownConceptError: the bundle does not hold the concept.
            PromptError: the prompt has a wrong shape, is outside the image, or has more points than slots, or there is
                nothing to zoom in on.
        """
        if not isinstance(concept, str):
            raise InputError(
                f"predict takes one concept's name, such as 'car', not a {type(concept).__name__}; call it for each "
                "concept, or use segment for several from text."
            )
        index = self.vocabulary.index(concept)
        clicks = check_clicks(points, labels, box, self.image.size, self._model.prompting.click_slots)
        if not len(clicks.points) and clicks.box is None:
            if zoom:
                raise PromptError("zoom needs clicks or a box to zoom in on: give one, or leave zoom out.")
            self._model.warn_of_prompts("text")
            return self._decoder.decode(index)
        self._model.warn_of_prompts("clicks")
        windows = windows_of(clicks, self.image.size, self._model.geometry.image_size) if zoom else []
        return self._zoomed(index, clicks, windows, before_part) if windows else self._decoder.decode(index, clicks)

    def _zoomed(
        self, index: int, clicks: Clicks, windows: Sequence[Window], before_part: Callable[[], object]
    ) -> ConceptResult:
        held = [one for one in windows if clicks.box is not None and holds(one, clicks.box)]
        base = None if held else self._decoder.decode(index, clicks)
        found: dict[Window, ConceptResult] = {}
        for window in sorted(windows, key=lambda one: one not in self._parts):  # first those that are kept
            before_part()
            seen = self._look(index, clicks, window)
            if seen is not None:
                found[window] = seen
        near = [Near(window, found[window].logits) for window in windows if window in found]
        whole = None if base is None else base.logits
        return zoomed(base or found[held[0]], near, whole, clicks, self.image.size)

    def _look(self, index: int, clicks: Clicks, window: Window) -> ConceptResult | None:
        """Compute a concept in a window; None where similarity rules it out, and the other windows or the image decide.

        A window that cuts the box cannot tell whether the concept is in the part that it sees.
        """
        decoder, prompt = self._near(window), inside(clicks, window)
        if clicks.box is None or holds(window, clicks.box):
            return decoder.decode(index, prompt)
        if not len(prompt.points) and decoder.screened.ruled_out[index]:
            return None
        without = decoder.decode(index, Clicks(prompt.points, prompt.labels) if len(prompt.points) else None)
        return combined(without, decoder.decode(index, prompt))

    def _near(self, window: Window) -> ConceptDecoder:
        """Return the decoder of a part of the image; the last ones are kept."""
        kept = self._parts.pop(window, None)
        if kept is None:
            part = self.image.crop(window)
            features = self._model.features(to_pixels(part, self._model.geometry.image_size))
            kept = ConceptDecoder(self._model, part, features, self._embeddings)
        self._parts[window] = kept
        for old in list(self._parts)[:-KEPT]:
            self._parts.pop(old, None)
        return kept

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
