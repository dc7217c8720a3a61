"""`Segmenter`: from a bundle and an image to masks."""

from __future__ import annotations

import pickle  # only to check whether a caller's backend can be pickled
from collections.abc import Callable, Generator, Iterable
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from cgsam_edge import pipeline, shipped
from cgsam_edge.bundle import Bundle
from cgsam_edge.caller_warning import warn_caller
from cgsam_edge.concept_decoder import ConceptDecoder
from cgsam_edge.encoded import Encoded
from cgsam_edge.errors import BackendError, ImageError, InputError
from cgsam_edge.image import ImageSource, Prepared, load_prepared
from cgsam_edge.limits import Limits
from cgsam_edge.lru import ArrayCache, check_bytes
from cgsam_edge.opened_model import Concepts, OpenedModel
from cgsam_edge.results import Result
from cgsam_edge.runtimes.devices import AUTO
from cgsam_edge.runtimes.opening import open_bundle, open_on
from cgsam_edge.runtimes.placement import Placement
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.runtimes.proven import warn_of_unproven
from cgsam_edge.runtimes.selection import Wish

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Backend
    from cgsam_edge.tracked import Tracking

    Float = NDArray[np.float32]

S = TypeVar("S")

CACHE_BYTES = 64 * 2**20
"""Default limit of the image embeddings kept for each encoded image, in bytes."""


class Segmenter:
    """Segments images by concept with an exported bundle, offline and without PyTorch.

    Safe to use from several threads; a context manager that frees the engine. It can be pickled: the pickle contains
    the bundle's path and these options, and the other process opens the bundle again.

    Args:
        bundle: the bundle's folder; None opens the reference bundle that comes with the package.
        backend: "auto", or a name to force it ("onnxruntime", "openvino", "coreml"), or a `Backend` of your own.
        device: "auto", or a device to force: a name as `cgsam doctor` lists it, or "cpu", "gpu" or "npu".
            Choices left to "auto" are measured once per bundle and machine, and remembered; `placement` explains them.
        threads: CPU threads for one run; by default all cores.
        performance: "latency": one run at a time, as fast as possible; "throughput": as many runs at once as there are
            threads, for callers in several threads; "low-power": half of the cores, and no busy-waiting.
        precision: of the arithmetic. "default": for each graph the fastest that the device has and that the export
            proved good enough; without a proof, float32 on CPUs and the native precision on other devices. "float32":
            nothing lower. "reduced": the fastest arithmetic of the device, with a warning where it is not proven.
        save_memory: return memory to the system between runs, which costs time.
        refresh: measure again, even if a choice is remembered.
        cache_bytes: limit of the image embeddings kept for each encoded image, in bytes, so that a further click on a
            concept costs only the decoder; one embedding has 4 MiB for a SAM at 1024 pixels. 0 keeps none.
        soc: which chip of Qualcomm ``device="qnn"`` is, by Qualcomm's model number, such as 57 for the Snapdragon 8
            Gen 3; needed where the NPU is simulated, and to use what ``cgsam compile`` put into the bundle.

    Attributes:
        bundle: the opened bundle.

    Raises:
        InputError: ``cache_bytes`` is negative or not a whole number, or ``bundle`` is not a path.
        BundleError: the bundle is missing, incomplete, altered, or of a newer format.
        BackendError: the backend or device is unknown, not installed or missing, cannot open a graph, or the bundle has
            no graphs for it.
    """

    def __init__(  # noqa: PLR0913 — each is a separate option with a default
        self,
        bundle: str | PathLike[str] | None = None,
        *,
        backend: str | Backend = AUTO,
        device: str = AUTO,
        threads: int | None = None,
        performance: str = "latency",
        precision: str = "default",
        save_memory: bool = False,
        refresh: bool = False,
        cache_bytes: int = CACHE_BYTES,
        soc: int | None = None,
    ) -> None:
        self._cache_bytes = check_bytes(cache_bytes)
        self._options = options = SessionOptions(threads, AUTO, performance, precision, save_memory, soc=soc)
        self.bundle = Bundle(_bundle_path(bundle))
        if self.bundle.manifest.quality.get("degraded"):
            warn_caller(
                f"{self.bundle.path}: exported although its masks are too far from the PyTorch model's; see its "
                "report.html."
            )
        if isinstance(backend, str):
            opened = open_bundle(self.bundle, Wish(backend, device, options, refresh))
        else:
            opened = open_on(self.bundle, backend, device, options)
        self._model = OpenedModel(self.bundle, opened)
        if precision == "reduced":
            computed = {graph: session.facts().precision for graph, session in opened.sessions.items()}
            warn_of_unproven(self.bundle, opened.candidate.target, computed)
        self._recipe: dict[str, Any] = {
            "backend": backend,
            "device": device,
            "threads": threads,
            "performance": performance,
            "precision": precision,
            "save_memory": save_memory,
            "cache_bytes": cache_bytes,
            "soc": soc,
        }

    def __reduce__(self) -> tuple[Callable[..., Segmenter], tuple[Path, dict[str, Any]]]:
        self._model.check_open()
        _check_picklable(self._recipe["backend"])
        return _reopened, (self.bundle.path.absolute(), self._recipe)

    @property
    def backend(self) -> str:
        """Name of the engine in use."""
        return self._model.backend

    @property
    def placement(self) -> Placement:
        """Where the bundle runs, what was tried, and why other candidates were not chosen.

        Raises:
            BackendError: the segmenter is closed.
        """
        return self._model.placement

    @property
    def concepts(self) -> tuple[str, ...]:
        """Names of all concepts that the bundle holds."""
        return self._model.vocabulary.names

    def segment(
        self,
        image: ImageSource,
        concepts: Concepts = None,
        *,
        max_concepts: int | None = None,
        time_budget: float | None = None,
        skip_absent: bool = True,
        tile: str | int | None = None,
        overlap: float | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Result:
        """Segment one image from text alone.

        Args:
            image: a path, a PIL image, or a uint8 or uint16 array: RGB (H, W, 3), RGBA (H, W, 4) or grey (H, W); or the
                result of `prepare`. Files and PIL images are rotated by their EXIF orientation; arrays are used as they
                are.
            concepts: a name or synonym, or any iterable of them; None means all.
            max_concepts: the largest number of concepts to compute: the likeliest by CLIP's similarity;
                `Result.left_out` names the others. None means all. Concepts that similarity rules out do not count.
            time_budget: seconds after this call, beyond which no further concept is started. One is always computed;
                `Result.left_out` names the others. None means no limit.
            skip_absent: whether to skip concepts that similarity alone rules out: such a result is marked `skipped`, is
                not present, and has an empty mask. Only calibrated bundles rule concepts out, see ``cgsam calibrate``.
                False computes every concept.
            tile: for big pictures, and TIFFs of any size: "auto", or a tile's side in pixels; excludes ``time_budget``.
            overlap: share of a tile that the next one covers again, 0 to 0.9; None means 0.5.
            progress: called while tiles are computed, with the steps done and their number.

        Raises:
            ImageError: the image cannot be used.
            InputError: a limit is not a positive number, or ``tile`` or ``overlap`` is not valid.
            MissingLibraryError: a TIFF over the limit needs the extra "tiff".
            UnknownConceptError: the bundle does not hold a concept.
        """
        limits = Limits(max_concepts, time_budget, skip_absent)  # the clock starts here
        chosen = self._model.indices(concepts)  # before the work, so that a typo costs no time
        self._model.warn_of_prompts("text")
        if tile is not None:
            from cgsam_edge.tiling import TileOptions, segment_tiles  # few pictures need it

            return segment_tiles(
                self._model, image, chosen, limits, TileOptions(tile, overlap, self._cache_bytes, progress)
            )
        if overlap is not None:
            raise InputError(f"overlap is for tiles; give tile too, or leave overlap out (got {overlap!r}).")
        prepared = self._prepared(image)
        decoder = ConceptDecoder(self._model, prepared.image, self._features(prepared), ArrayCache(self._cache_bytes))
        return decoder.segment(chosen, limits)

    def encode(self, image: ImageSource) -> Encoded:
        """Compute the part that all concepts and prompts of one image share; the image is taken whole, without tiles.

        Args:
            image: as for `segment`.

        Raises:
            ImageError: the image cannot be used.
        """
        prepared = self._prepared(image)
        return Encoded(self._model, prepared.image, self._features(prepared), self._cache_bytes)

    def prepare(self, image: ImageSource, *, bits: int | None = None, page: int | None = None) -> Prepared:
        """Decode and resize an image, possibly in another thread; `segment` and `encode` accept the result.

        Args:
            image: as for `segment`.
            bits: bits per channel of an image with more than 8, see `cgsam_edge.image.load_image`.
            page: which picture of a file with several, counted from 1.

        Raises:
            ImageError: the image cannot be used.
            InputError: ``bits`` or ``page`` is not a valid number.
        """
        size, threads = self.bundle.manifest.geometry.image_size, self._options.picture_threads
        return load_prepared(image, size, threads, bits=bits, page=page)

    def stream_images(
        self,
        sources: Iterable[S],
        concepts: Concepts = None,
        *,
        on_error: Callable[[S, ImageError], object] | None = None,
        ahead: int | None = None,
        track: bool | Tracking = False,
        smooth: float = 0.0,
    ) -> Generator[tuple[S, Result], None, None]:
        """Segment many images, or the frames of a video or camera, and yield each one with its result, in order.

        Reading and resizing overlap with the engine's work, and that with the caller's. Close the iterator
        (`contextlib.closing`) to stop early. Images are taken whole; for tiles, call `segment` for each.

        Args:
            sources: images as `segment` takes them, frames of a `Video`, or a `Camera`, which yields its newest frame
                each time; iterated in another thread, at the engine's pace.
            concepts: as for `segment`.
            on_error: called, in order, with a source that cannot be used; the others continue. None raises the error.
            ahead: images in progress at once, 1 or more: 1 gives the shortest delay and no overlap. None means 1 for a
                `Camera` and 4 for everything else.
            track: whether objects keep a number from image to image, in `Result.tracks`; a `Tracking` says how.
            smooth: weight of earlier images in masks and presence, 0 to 0.95, so that concepts do not blink; 0 is off.

        Raises:
            UnknownConceptError: the bundle does not hold a concept.
            InputError: ``sources`` is one image; ``ahead`` is under 1, or ``track`` or ``smooth`` is not valid.
            ImageError: see ``on_error``.
        """
        names = [self.concepts[index] for index in self._model.indices(concepts)]  # an iterator could be used only once
        self._model.warn_of_prompts("text")
        follow = pipeline.follow_up(self, track=track, smooth=smooth)
        return pipeline.stream(self, sources, names, on_error, ahead, follow)

    def check_concepts(self, concepts: Concepts) -> None:
        """Raise `UnknownConceptError` if the bundle does not hold one of these names or synonyms."""
        self._model.indices(concepts)

    def close(self) -> None:
        """Free the engine; the segmenter and what it encoded cannot be used afterwards."""
        self._model.close()

    def __enter__(self) -> Segmenter:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepared(self, image: ImageSource) -> Prepared:
        return image if isinstance(image, Prepared) else self.prepare(image)

    def _features(self, prepared: Prepared) -> dict[str, Float]:
        return self._model.features(prepared.pixels)


def _bundle_path(bundle: object) -> Path:
    if bundle is None:
        return shipped.BUNDLE
    if not isinstance(bundle, (str, PathLike)) or isinstance(fspath(bundle), bytes):
        raise InputError(f"bundle must be the path of a folder, or None, got {bundle!r:.60} ({type(bundle).__name__}).")
    return Path(bundle)


def _check_picklable(backend: object) -> None:
    try:
        pickle.dumps(backend)
    except Exception as error:
        raise BackendError(
            f"the segmenter cannot be pickled, because its backend {type(backend).__name__} cannot: {error}. Open a "
            "segmenter in each process, or define the backend's class at the top level of a module."
        ) from error


def _reopened(bundle: Path, recipe: dict[str, Any]) -> Segmenter:
    """Open, in this process, a segmenter that another one pickled."""
    return Segmenter(bundle, **recipe)
