"""From an encoded image to the results of its concepts: the work that `Segmenter.segment` and `Encoded` share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import BackendError
from cgsam_edge.limits import MAX_CONCEPTS, TIME_BUDGET, Limits
from cgsam_edge.lru import ArrayCache
from cgsam_edge.presence import evidence, judge
from cgsam_edge.prompts import Clicks, DecoderPrompt, decoder_prompt
from cgsam_edge.results import ConceptResult, Result, absent_logits
from cgsam_edge.screening import Screened

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from cgsam_edge.opened_model import OpenedModel

    Float = NDArray[np.float32]


_NUMBERS = itertools.count()
"""Of decoders: their embeddings may share a cache."""


class ConceptDecoder:
    """Computes the concepts of one encoded image.

    Args:
        model: the opened bundle.
        image: the RGB image.
        features: outputs of the graphs that run once per image.
        embeddings: where image embeddings are kept, beside those of other decoders.

    Attributes:
        image: as given.
        features: as given.
    """

    def __init__(
        self, model: OpenedModel, image: Image.Image, features: Mapping[str, Float], embeddings: ArrayCache
    ) -> None:
        self.features = features
        self._model = model
        self.image = image
        self._embeddings = embeddings
        self._own = next(_NUMBERS)

    @cached_property
    def screened(self) -> Screened:
        """The screening of all concepts of the vocabulary by similarity alone."""
        vocabulary = self._model.vocabulary
        return Screened.of(self.features["clip_features"], vocabulary.features, vocabulary.screening)

    def segment(self, indices: list[int], limits: Limits) -> Result:
        """Compute concepts, given as indices into the vocabulary, from text alone, as many as the limits allow."""
        vocabulary = self._model.vocabulary
        names = vocabulary.names
        left_out: dict[int, str] = {}
        found = {result.name: result for result in self.results(indices, limits, left_out)}
        return Result(
            self.image,
            {names[i]: found[names[i]] for i in indices if i not in left_out},
            vocabulary.names_by_alias,
            {names[i]: left_out[i] for i in indices if i in left_out},
        )

    def results(self, indices: list[int], limits: Limits, left_out: dict[int, str]) -> Iterator[ConceptResult]:
        """Yield results, the likeliest first, and record in ``left_out`` which concepts were left out and why."""
        wanted, skipped, beyond = self.screened.select(indices, limits)
        left_out.update(dict.fromkeys(beyond, MAX_CONCEPTS))
        for begun, index in enumerate(wanted):
            if begun and limits.spent():
                left_out.update(dict.fromkeys(wanted[begun:], TIME_BUDGET))
                break
            yield self.decode(index)
        yield from (self.absent(index) for index in skipped)

    def decode(self, index: int, clicks: Clicks | None = None) -> ConceptResult:
        """Compute one concept; without clicks, its points are drawn from the similarity map.

        Raises:
            BackendError: the engine failed, or returned NaN or infinity.
        """
        geometry = self._model.geometry
        similarity = self._similarity(index)
        prompt = decoder_prompt(similarity, self.image.size, geometry, self._model.prompting, clicks)
        logits, score = self.mask_logits(index, prompt)
        return self._result(index, logits, score, similarity, prompt.clicks)

    def mask_logits(self, index: int, prompt: DecoderPrompt) -> tuple[Float, float]:
        """Return a concept's logits (m, m) for a prompt, and the predicted IoU.

        Raises:
            BackendError: the engine failed, or returned NaN or infinity.
        """
        out = self._model.run(
            "decoder",
            {
                "image_embedding": self._embedding(index, self._similarity(index)),
                "points": prompt.points,
                "labels": prompt.labels,
                "dense_prompt": prompt.dense,
            },
        )
        logits, score = out["mask_logits"][0, 0], float(out["iou"][0, 0])
        if not np.isfinite(logits).all():
            raise BackendError(f"the {self._model.backend} backend returned NaN or infinity for the mask.")
        return logits, score

    def _similarity(self, index: int) -> Float:
        """Return the similarity s on CLIP's patches, (g, g)."""
        grid = self._model.geometry.patch_grid
        return np.ascontiguousarray(self.screened.scores[:, index]).reshape(grid, grid)

    def _embedding(self, index: int, similarity: Float) -> Float:
        """Return the image embedding of a concept, which is kept for the next prompt."""
        inputs = self._model.inputs("concept")
        key = index if inputs & {"similarity", "text_row"} else -1  # without semantic blocks, all share one
        kept = self._embeddings.get((self._own, key))
        if kept is not None:
            return kept
        row = self._model.vocabulary.rows[index : index + 1]
        values = {**self.features, "similarity": similarity[None, None], "text_row": row}
        embedding = self._model.run("concept", values)["image_embedding"]
        self._embeddings.put((self._own, key), embedding)
        return embedding

    def _result(self, index: int, logits: Float, score: float, similarity: Float, clicks: Clicks) -> ConceptResult:
        """Build a result, and judge from the computed values whether the concept is present."""
        vocabulary = self._model.vocabulary
        class_token, text = self.features["clip_features"][0], vocabulary.features[index]
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

    def absent(self, index: int) -> ConceptResult:
        """Return the result of a concept that similarity alone rules out."""
        geometry = self._model.geometry
        none = np.zeros((0, 2), np.float32)
        return ConceptResult(
            name=self._model.vocabulary.names[index],
            logits=absent_logits(geometry.mask_size),
            score=0.0,
            presence=float(self.screened.chances[index]),
            present=False,
            evidence=self.screened.evidence_without_mask(index),
            similarity=self.screened.scores[:, index].reshape(geometry.patch_grid, geometry.patch_grid),
            points=none,
            labels=none[:, 0],
            box=None,
            image_size=self.image.size,
            skipped=True,
        )
