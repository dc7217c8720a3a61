"""`Encoded`: an image that was encoded once, and everything that can be asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge import prompts
from cgsam_edge.errors import BackendError
from cgsam_edge.limits import MAX_CONCEPTS, TIME_BUDGET, Limits
from cgsam_edge.lru import ArrayCache
from cgsam_edge.presence import evidence, judge
from cgsam_edge.results import ConceptResult, Result, absent_logits
from cgsam_edge.screening import Screened

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from PIL import Image

    from cgsam_edge.segmenter import Segmenter
    from cgsam_edge.vocabulary import Vocabulary

    Float = NDArray[np.float32]


class Encoded:
    """An encoded image: ask it for any number of concepts and prompts. Made by `Segmenter.encode`.

    Attributes:
        image: the RGB image.
    """

    def __init__(self, segmenter: Segmenter, image: Image.Image, features: dict[str, Float]) -> None:
        self.image = image
        self._segmenter = segmenter
        self._features = features
        self._embeddings = ArrayCache(segmenter._cache_bytes)

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts that can be asked for."""
        return self._segmenter._vocabulary

    def segment(
        self,
        concepts: Sequence[str] | str | None = None,
        *,
        max_concepts: int | None = None,
        time_budget: float | None = None,
        skip_absent: bool = True,
    ) -> Result:
        """Segment from text alone; see `Segmenter.segment`. The time counts from this call."""
        limits = Limits(max_concepts, time_budget, skip_absent)
        return self._segment(self._segmenter._indices(concepts), limits)

    def stream(
        self,
        concepts: Sequence[str] | str | None = None,
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
        indices = self._segmenter._indices(concepts)
        self._segmenter._warn_once("text", 3)
        return self._results(indices, limits, {})

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
        index = self._segmenter._vocabulary.index(concept)
        slots = self._segmenter.bundle.manifest.prompting.click_slots
        clicks = prompts.check_clicks(points, labels, box, self.image.size, slots)
        if not len(clicks.points) and clicks.box is None:
            self._segmenter._warn_once("text", 3)
            return self._decode(index, None)
        self._segmenter._warn_once("clicks", 3)
        return self._decode(index, clicks)

    def ruled_out(self, concepts: Sequence[str] | str | None = None) -> tuple[str, ...]:
        """Return the names of those concepts that similarity alone rules out; none where nothing was calibrated.

        Args:
            concepts: names or synonyms; None means all.

        Raises:
            UnknownConceptError: the bundle does not hold a concept.
        """
        indices = self._segmenter._indices(concepts)
        return tuple(self.vocabulary.names[i] for i in indices if self._screened.ruled_out[i])

    def _segment(self, indices: list[int], limits: Limits) -> Result:
        names, aliases = self.vocabulary.names, self.vocabulary.aliases
        self._segmenter._warn_once("text", 4)
        left_out: dict[int, str] = {}
        found = {result.name: result for result in self._results(indices, limits, left_out)}
        return Result(
            self.image,
            {names[i]: found[names[i]] for i in indices if i not in left_out},
            {alias: names[index] for alias, index in aliases.items()},
            {names[i]: left_out[i] for i in indices if i in left_out},
        )

    def _results(self, indices: list[int], limits: Limits, left_out: dict[int, str]) -> Iterator[ConceptResult]:
        """Yield results, the likeliest first, and note what was left out and why."""
        screened = self._screened
        order = screened.likeliest_first(indices)
        skipped = [i for i in order if limits.skip_absent and screened.ruled_out[i]]
        wanted = [i for i in order if not (limits.skip_absent and screened.ruled_out[i])]
        most = len(wanted) if limits.max_concepts is None else limits.max_concepts
        left_out.update(dict.fromkeys(wanted[most:], MAX_CONCEPTS))
        for begun, index in enumerate(wanted[:most]):
            if begun and limits.spent():
                left_out.update(dict.fromkeys(wanted[begun:most], TIME_BUDGET))
                break
            yield self._decode(index, None)
        yield from (self._absent(index) for index in skipped)

    @cached_property
    def _screened(self) -> Screened:
        return Screened.of(self._features["clip_features"], self.vocabulary.features, self.vocabulary.screening)

    def peaks(self) -> Float:
        """Return the greatest similarity of a patch with each concept of the vocabulary, (N,): a cheap first guess."""
        return self._screened.peaks

    def _similarity(self, index: int) -> Float:
        """Return s on the patches, (g, g)."""
        grid = self._segmenter.bundle.manifest.geometry.patch_grid
        return np.ascontiguousarray(self._screened.scores[:, index]).reshape(grid, grid)

    def _embedding(self, index: int, similarity: Float) -> Float:
        """Return the image embedding of a concept, kept for the next prompt."""
        inputs = self._segmenter._inputs["concept"]
        key = index if inputs & {"similarity", "text_row"} else -1  # a model without semantics has one for all
        kept = self._embeddings.get(key)
        if kept is not None:
            return kept
        row = self._segmenter._vocabulary.rows[index : index + 1]
        values = {**self._features, "similarity": similarity[None, None], "text_row": row}
        embedding = self._segmenter._run("concept", values)["image_embedding"]
        self._embeddings.put(key, embedding)
        return embedding

    def _decode(self, index: int, clicks: prompts.Clicks | None) -> ConceptResult:
        """Run the concept and the decoder; without clicks, points are drawn from the similarity map."""
        manifest = self._segmenter.bundle.manifest
        geometry, prompting = manifest.geometry, manifest.prompting
        similarity = self._similarity(index)
        full_map = prompts.similarity_map(similarity, geometry.image_size)
        if clicks is None:
            clicks = self._drawn_clicks(full_map)
        points, labels = prompts.fill_slots(clicks, self.image.size, geometry, prompting)
        out = self._segmenter._run(
            "decoder",
            {
                "image_embedding": self._embedding(index, similarity),
                "points": points,
                "labels": labels,
                "dense_prompt": prompts.dense_prompt(full_map, geometry, prompting),
            },
        )
        logits, score = out["mask_logits"][0, 0], float(out["iou"][0, 0])
        if not np.isfinite(logits).all():
            raise BackendError(f"the {self._segmenter.backend} backend returned NaN or infinity for the mask.")
        return self._result(index, logits, score, similarity, clicks)

    def _result(
        self, index: int, logits: Float, score: float, similarity: Float, clicks: prompts.Clicks
    ) -> ConceptResult:
        """Put a result together, and judge from what was computed whether the concept is there at all."""
        vocabulary = self._segmenter._vocabulary
        class_token, text = self._features["clip_features"][0], vocabulary.features[index]
        found = evidence(logits, score, similarity, class_token, text)
        presence, present = judge(found, vocabulary.presence[index])
        return ConceptResult(
            name=vocabulary.names[index],
            logits=logits,
            score=score,
            presence=presence,
            present=present,
            evidence=found,
            similarity=similarity,
            points=clicks.points,
            labels=clicks.labels,
            box=clicks.box,
            image_size=self.image.size,
        )

    def _absent(self, index: int) -> ConceptResult:
        """Put together the result of a concept that similarity alone rules out."""
        geometry = self._segmenter.bundle.manifest.geometry
        none = np.zeros((0, 2), np.float32)
        return ConceptResult(
            name=self.vocabulary.names[index],
            logits=absent_logits(geometry.mask_size),
            score=0.0,
            presence=float(self._screened.chances[index]),
            present=False,
            evidence=self._screened.evidence_without_mask(index),
            similarity=self._screened.scores[:, index].reshape(geometry.patch_grid, geometry.patch_grid),
            points=none,
            labels=none[:, 0],
            box=None,
            image_size=self.image.size,
            skipped=True,
        )

    def _drawn_clicks(self, full_map: Float) -> prompts.Clicks:
        """Draw the points of text-only mode and bring them to the image's pixels."""
        prompting = self._segmenter.bundle.manifest.prompting
        scale = np.asarray(self.image.size) / len(full_map)
        points = (prompts.text_points(full_map, prompting) * scale).astype(np.float32)
        return prompts.Clicks(points, np.ones(len(points), np.float32))
