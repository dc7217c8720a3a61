"""`Segmenter`: from a bundle and an image to masks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from cgsam_edge import pipeline, shipped
from cgsam_edge.bundle import Bundle
from cgsam_edge.encoded import Encoded
from cgsam_edge.errors import BackendError, ImageError
from cgsam_edge.image import ImageSource, Prepared, load_image, to_pixels
from cgsam_edge.limits import Limits
from cgsam_edge.lru import check_bytes
from cgsam_edge.pipeline import AHEAD
from cgsam_edge.results import Result
from cgsam_edge.runtimes.devices import AUTO
from cgsam_edge.runtimes.opening import open_bundle, open_on
from cgsam_edge.runtimes.placement import Placement
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.runtimes.selection import Wish

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Backend

    Float = NDArray[np.float32]

S = TypeVar("S")

CACHE_BYTES = 64 * 2**20
"""Image embeddings kept for each encoded image, unless a caller says else."""

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
        cache_bytes: for each encoded image, bytes of image embeddings that are kept, so that a further click on a
            concept costs only the decoder; one has 4 MiB for a SAM at 1024 pixels. 0 keeps none.

    Raises:
        InputError: ``cache_bytes`` is negative or no whole number.
        BundleError: the bundle is missing, incomplete, altered, or too new.
        BackendError: the backend or device is unknown, not installed or not there, cannot open a graph, or the bundle
            holds none for it.
    """

    def __init__(  # noqa: PLR0913 — each is an option of its own, and has a default
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
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._cache_bytes = check_bytes(cache_bytes)
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

    def segment(
        self,
        image: ImageSource,
        concepts: Sequence[str] | str | None = None,
        *,
        max_concepts: int | None = None,
        time_budget: float | None = None,
        skip_absent: bool = True,
    ) -> Result:
        """Segment one image from text alone.

        Args:
            image: a path, a PIL image, or a uint8 array: RGB (H, W, 3), RGBA (H, W, 4) or grey (H, W).
            concepts: names or synonyms; None means all.
            max_concepts: compute at most so many of them, the likeliest by CLIP's similarity; `Result.left_out` names
                the others. None means all. Concepts that similarity rules out cost nothing and do not count.
            time_budget: begin no further concept after so many seconds from this call on; one is always computed, and
                what was begun is finished. `Result.left_out` names the others. None means no limit.
            skip_absent: whether a concept that similarity alone rules out is left uncomputed: its result says
                `skipped`, is not present and has an empty mask. Only calibrated bundles rule anything out, see
                ``cgsam calibrate``; False computes every concept.

        Raises:
            ImageError: the image cannot be used.
            InputError: a limit is not positive, NaN or no number.
            UnknownConceptError: the bundle does not hold a concept.
        """
        limits = Limits(max_concepts, time_budget, skip_absent)  # the clock starts here
        chosen = self._indices(concepts)  # before the work, so that a typo costs nothing
        return self.encode(image)._segment(chosen, limits)

    def encode(self, image: ImageSource) -> Encoded:
        """Compute once what all concepts and prompts of one image share.

        Args:
            image: as for `segment`.

        Raises:
            ImageError: the image cannot be used.
        """
        prepared = image if isinstance(image, Prepared) else self.prepare(image)
        return Encoded(self, prepared.image, self._run("image", {"pixels": prepared.pixels}))

    def prepare(self, image: ImageSource) -> Prepared:
        """Do what precedes the engine; `segment` and `encode` take the result for an image, another thread perhaps.

        Raises:
            ImageError: the image cannot be used.
        """
        rgb = load_image(image)
        return Prepared(rgb, to_pixels(rgb, self.bundle.manifest.geometry.image_size))

    def stream_images(
        self,
        sources: Iterable[S],
        concepts: Sequence[str] | str | None = None,
        *,
        on_error: Callable[[S, ImageError], object] | None = None,
        ahead: int = AHEAD,
    ) -> Generator[tuple[S, Result], None, None]:
        """Segment many images, or the frames of a video or camera, and yield each with its result, in their order.

        Reading and resizing the next images overlap with the engine's work, and the engine's with the caller's. Close
        the iterator (`contextlib.closing`) to stop early.

        Args:
            sources: images as `segment` takes them, or frames of a `Video`; iterated in another thread, as fast as
                the engine takes them. A camera's iterator should give its newest frame.
            concepts: as for `segment`.
            on_error: called with a source that cannot be used, in its turn, and the others go on; without, the error
                is raised.
            ahead: images held at once, 1 or more: 1 for the least delay and no overlap.

        Raises:
            UnknownConceptError: the bundle does not hold a concept.
            InputError: ``ahead`` is under 1.
            ImageError: see ``on_error``.
        """
        return pipeline.stream(self, sources, concepts, on_error, ahead)

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
