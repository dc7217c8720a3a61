"""`Segmenter`: from a bundle and an image to masks."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge import prompts, shipped
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError
from cgsam_edge.image import ImageSource, load_image, to_pixels
from cgsam_edge.presence import evidence, judge
from cgsam_edge.results import ConceptResult, Result
from cgsam_edge.runtimes.devices import AUTO
from cgsam_edge.runtimes.opening import open_bundle, open_on
from cgsam_edge.runtimes.placement import Placement
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.runtimes.selection import Wish

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from PIL import Image

    from cgsam_edge.runtimes.protocol import Backend
    from cgsam_edge.vocabulary import Vocabulary

    Float = NDArray[np.float32]

_KEPT_EMBEDDINGS = 16
"""Image embeddings kept per encoded image, 4 MB each for a SAM at 1024 pixels."""

_PROMPT_WARNINGS = {
    "text": "this model was trained on clicks, not on points drawn from text similarity; the paper loses 8.5 mIoU so "
    "(78.3 to 69.8 on VOC 1/16). Its masks from text alone are worse than they could be.",
    "clicks": "this model was trained for text-only prompts; the paper measured a loss of 8.5 mIoU between kinds of "
    "prompts (VOC 1/16). Its masks from clicks and boxes are worse than they could be.",
}


class Segmenter:
    """Segments images by concept with an exported bundle, offline and without PyTorch.

    Safe to use from several threads; a context manager that frees the engine.

    Args:
        bundle: the bundle's folder; None opens the reference bundle that comes with the package.
        backend: "auto", or a name to force it ("onnxruntime", "openvino", "coreml"), or a `Backend` of your own.
        device: "auto", or a device to force: a name as `cgsam doctor` lists it, or "cpu", "gpu" or "npu". What is
            left to "auto" is measured once for a bundle on a machine, and remembered; `placement` says how it came.
        threads: CPU threads for one run; by default all cores.
        performance: "latency": one run at a time, as fast as it goes; "throughput": as many runs at once as there are
            threads, for callers in several threads; "low-power": half of the cores, and no busy waiting.
        precision: of the arithmetic. "default": float32 on CPUs, what the device is built for elsewhere; "float32":
            nothing less; "reduced": the fastest that the device has, which moves the masks.
        save_memory: give memory back between runs, which costs time.
        refresh: measure again, even if a choice is remembered.

    Raises:
        BundleError: the bundle is missing, incomplete, altered, or too new.
        BackendError: the backend or device is unknown, not installed or not there, cannot open a graph, or the bundle
            holds none for it.
    """

    def __init__(
        self,
        bundle: str | Path | None = None,
        *,
        backend: str | Backend = AUTO,
        device: str = AUTO,
        threads: int | None = None,
        performance: str = "latency",
        precision: str = "default",
        save_memory: bool = False,
        refresh: bool = False,
    ) -> None:
        options = SessionOptions(threads, AUTO, performance, precision, save_memory)
        self.bundle = Bundle(shipped.BUNDLE if bundle is None else bundle)
        self._vocabulary = self.bundle.vocabulary
        if self.bundle.manifest.quality.get("degraded"):
            warnings.warn(
                f"{self.bundle.path}: exported although its masks are too far from the PyTorch model's; see its "
                "report.html.",
                stacklevel=2,
            )
        if isinstance(backend, str):
            self._opened = open_bundle(self.bundle, Wish(backend, device, options, refresh))
        else:
            self._opened = open_on(self.bundle, backend, device, options)
        self._sessions = self._opened.sessions
        graphs = self.bundle.graphs(self._opened.candidate.target)
        self._inputs = {name: {tensor.name for tensor in graph.inputs} for name, graph in graphs.items()}
        self._closed = False
        self._warned: set[str] = set()

    @property
    def backend(self) -> str:
        """Name of the engine in use."""
        return self._opened.candidate.backend

    @cached_property
    def placement(self) -> Placement:
        """What runs where, what was tried, and why not the others.

        Raises:
            BackendError: the segmenter is closed.
        """
        return self._opened.placement(self.bundle)

    @property
    def concepts(self) -> tuple[str, ...]:
        """Names of all concepts that the bundle holds."""
        return self._vocabulary.names

    def segment(self, image: ImageSource, concepts: Sequence[str] | str | None = None) -> Result:
        """Segment one image from text alone.

        Args:
            image: a path, a PIL image, or a uint8 array: RGB (H, W, 3), RGBA (H, W, 4) or grey (H, W).
            concepts: names or synonyms; None means all.

        Raises:
            ImageError: the image cannot be used.
            UnknownConceptError: the bundle does not hold a concept.
        """
        chosen = self._indices(concepts)  # before the work, so that a typo costs nothing
        return self.encode(image)._segment(chosen)

    def encode(self, image: ImageSource) -> Encoded:
        """Compute once what all concepts and prompts of one image share.

        Args:
            image: as for `segment`.

        Raises:
            ImageError: the image cannot be used.
        """
        rgb = load_image(image)
        pixels = to_pixels(rgb, self.bundle.manifest.geometry.image_size)
        return Encoded(self, rgb, self._run("image", {"pixels": pixels}))

    def check_concepts(self, concepts: Sequence[str] | str | None) -> None:
        """Raise `UnknownConceptError` if the bundle does not hold one of these names or synonyms."""
        self._indices(concepts)

    def close(self) -> None:
        """Free the engine; the segmenter and what it encoded cannot be used afterwards."""
        self._closed = True
        for session in self._sessions.values():
            session.close()

    def __enter__(self) -> Segmenter:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _indices(self, concepts: Sequence[str] | str | None) -> list[int]:
        """Return vocabulary indices in the order asked, each once."""
        if concepts is None:
            return list(range(len(self.concepts)))
        names = [concepts] if isinstance(concepts, str) else concepts
        return list(dict.fromkeys(self._vocabulary.index(name) for name in names))

    def _run(self, graph: str, values: dict[str, Float]) -> dict[str, Float]:
        if self._closed:
            raise BackendError("the segmenter is closed.")
        return self._sessions[graph].run({name: values[name] for name in self._inputs[graph]})

    def _warn_once(self, kind: str, stacklevel: int) -> None:
        """Warn of prompts that training did not use; ``stacklevel`` counts from here to the caller's code."""
        if kind in self.bundle.manifest.prompting.trained_for or kind in self._warned:
            return
        self._warned.add(kind)
        warnings.warn(_PROMPT_WARNINGS[kind], stacklevel=stacklevel)


class Encoded:
    """An encoded image: ask it for any number of concepts and prompts. Made by `Segmenter.encode`.

    Attributes:
        image: the RGB image.
    """

    def __init__(self, segmenter: Segmenter, image: Image.Image, features: dict[str, Float]) -> None:
        self.image = image
        self._segmenter = segmenter
        self._features = features
        self._embeddings: OrderedDict[int, Float] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts that can be asked for."""
        return self._segmenter._vocabulary

    def segment(self, concepts: Sequence[str] | str | None = None) -> Result:
        """Segment from text alone; see `Segmenter.segment`."""
        return self._segment(self._segmenter._indices(concepts))

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

    def _segment(self, indices: list[int]) -> Result:
        vocabulary = self._segmenter._vocabulary
        self._segmenter._warn_once("text", 4)
        results = [self._decode(index, None) for index in indices]
        aliases = {alias: vocabulary.names[index] for alias, index in vocabulary.aliases.items()}
        return Result(self.image, {result.name: result for result in results}, aliases)

    def peaks(self) -> Float:
        """Return the greatest similarity of a patch with each concept of the vocabulary, (N,): a cheap first guess."""
        patches = self._features["clip_features"][1:]
        best: Float = (patches @ self._segmenter._vocabulary.features.T).max(axis=0)
        return best

    def _similarity(self, index: int) -> Float:
        """Return s on the patches, (g, g)."""
        grid = self._segmenter.bundle.manifest.geometry.patch_grid
        text = self._segmenter._vocabulary.features[index]
        scores: Float = self._features["clip_features"][1:] @ text
        return scores.reshape(grid, grid)

    def _embedding(self, index: int, similarity: Float) -> Float:
        """Return the image embedding of a concept, kept for the next prompt."""
        inputs = self._segmenter._inputs["concept"]
        key = index if inputs & {"similarity", "text_row"} else -1  # a model without semantics has one for all
        with self._lock:
            if key in self._embeddings:
                self._embeddings.move_to_end(key)
                return self._embeddings[key]
        row = self._segmenter._vocabulary.rows[index : index + 1]
        values = {**self._features, "similarity": similarity[None, None], "text_row": row}
        embedding = self._segmenter._run("concept", values)["image_embedding"]
        with self._lock:
            self._embeddings[key] = embedding
            while len(self._embeddings) > _KEPT_EMBEDDINGS:
                self._embeddings.popitem(last=False)
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

    def _drawn_clicks(self, full_map: Float) -> prompts.Clicks:
        """Draw the points of text-only mode and bring them to the image's pixels."""
        prompting = self._segmenter.bundle.manifest.prompting
        scale = np.asarray(self.image.size) / len(full_map)
        points = (prompts.text_points(full_map, prompting) * scale).astype(np.float32)
        return prompts.Clicks(points, np.ones(len(points), np.float32))
