"""The ways to segment that a child runs: from a picture to masks. Engines are imported as they are opened."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.encoded import Encoded
    from cgsam_edge.results import Result

    Float = NDArray[np.float32]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Request:
    """What a child process opens.

    Attributes:
        runner: of `RUNNERS`.
        engine: "torch", "onnxruntime" or "openvino"; empty for the one that a bundle takes.
        bundle: folder; the unfused contenders take text features and sizes from it.
        checkpoint: of the model; only PyTorch's runners read it.
        artefact: folder of graphs; only plain ONNX reads it.
        picture: a ``.npy`` file of uint8 RGB (h, w, 3), given as an array; another file is given as a path.
        concepts: how many of the bundle's concepts are segmented.
        threads: CPU threads; None leaves it to the engine.
        arithmetic: as in `SessionOptions.precision`; "default" is the engine's default.
    """

    runner: str
    engine: str
    bundle: str
    checkpoint: str
    artefact: str
    picture: str
    concepts: int
    threads: int | None
    arithmetic: str = "float32"


class Runner(Protocol):
    """A contender, opened."""

    def masks(self, picture: Any, count: int) -> list[Mask]:
        """Segment the first concepts of the vocabulary from text alone: bool masks of the picture's size."""

    def logits(self, picture: Any, count: int) -> Float:
        """Return the same as the decoder's logits, (count, m, m)."""

    def encode(self, picture: Any) -> Callable[[], Mask]:
        """Compute what successive clicks share, and return a function that clicks on the picture's centre."""


class OurBundle:
    """A bundle, as a user opens it.

    Args:
        request: what to open.
    """

    def __init__(self, request: Request) -> None:
        from cgsam_edge import Segmenter

        warnings.simplefilter("ignore")  # of prompts that the model was not trained for; times are the same
        self._segmenter = Segmenter(
            request.artefact,
            backend=request.engine or "auto",
            device="cpu",
            threads=request.threads,
            precision=request.arithmetic,
        )

    def _names(self, count: int) -> Sequence[str]:
        return self._segmenter.concepts[:count]

    def masks(self, picture: Any, count: int) -> list[Mask]:
        """Segment; see `Runner.masks`."""
        return [one.mask for one in self._segment(picture, count).values()]

    def logits(self, picture: Any, count: int) -> Float:
        """Segment; see `Runner.logits`."""
        return np.stack([one.logits for one in self._segment(picture, count).values()])

    def _segment(self, picture: Any, count: int) -> Result:
        return self._segmenter.segment(picture, self._names(count), skip_absent=False)  # as the others do

    def encode(self, picture: Any) -> Callable[[], Mask]:
        """Encode; see `Runner.encode`."""
        encoded, name = self._segmenter.encode(picture), self._names(1)[0]
        self._click(encoded, name)  # after which the image embedding of the concept is there
        return lambda: self._click(encoded, name)

    @staticmethod
    def _click(encoded: Encoded, name: str) -> Mask:
        return encoded.predict(name, points=np.asarray([encoded.image.size], np.float32) / 2).mask


def _unfused(request: Request) -> Runner:
    from benchmarks.unfused import PlainParts, TorchParts, Unfused

    plain = request.runner == "plain"
    return Unfused(
        request, PlainParts(request) if plain else TorchParts(request, compiled=request.runner == "compiled")
    )


RUNNERS: dict[str, Callable[[Request], Runner]] = {
    "eager": _unfused,
    "compiled": _unfused,
    "plain": _unfused,
    "bundle": OurBundle,
}
