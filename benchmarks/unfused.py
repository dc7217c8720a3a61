"""The unfused model around any engine: upstream's code, and plain ONNX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from cgsam_edge import prompts
from cgsam_edge.bundle import Bundle
from cgsam_edge.image import load_image
from cgsam_edge.prompts import resize
from cgsam_edge.runtimes import telemetry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.runners import Request

    Float = NDArray[np.float32]
    Mask = NDArray[np.bool_]


class Parts(Protocol):
    """The unfused model in three parts; arrays are those of `plain`."""

    def features(self, pixels: Float) -> Float:
        """CLIP's features of normalised pixels."""

    def embed(self, pixels: Float, features: Float, text: Float) -> Float:
        """SAM's image embedding for a concept."""

    def decode(self, embedding: Float, dense: Float, points: Float, labels: Float) -> Float:
        """Mask logits (1, 1, m, m)."""


def plain_pixels(image: Image.Image, size: int) -> Float:
    """Return normalised pixels (1, 3, size, size) as a person writes upstream's steps without PyTorch.

    Plainly: one call of Pillow, and numpy on (height, width, channel). For square pictures the values are those of
    `cgsam_edge.image.to_pixels` after its normalisation.
    """
    squashed = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float32) / np.float32(255)
    return np.ascontiguousarray(((squashed - _MEAN) / _STD).transpose(2, 0, 1)[None])


_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


class Unfused:
    """Upstream's steps around the three parts; similarity and prompts are this project's, in numpy.

    Args:
        request: what to open.
        parts: the opened parts.
    """

    def __init__(self, request: Request, parts: Parts) -> None:
        bundle = Bundle(request.bundle)
        self._geometry, self._prompting = bundle.manifest.geometry, bundle.manifest.prompting
        self._text, self._parts = bundle.vocabulary.features, parts

    def masks(self, picture: Any, count: int) -> list[Mask]:
        """Segment; see `Runner.masks`."""
        image = load_image(picture)
        return [resize(one, *image.size) > 0 for one in self._logits(image, count)]

    def logits(self, picture: Any, count: int) -> Float:
        """Segment; see `Runner.logits`."""
        return self._logits(load_image(picture), count)

    def _logits(self, image: Image.Image, count: int) -> Float:
        pixels, features = self._encoded(image)
        found = []
        for text in self._text[:count]:
            full_map, dense = self._prompts(features, text)
            points = prompts.text_points(full_map, self._prompting)[None]
            embedding = self._parts.embed(pixels, features, text[None])
            found.append(self._parts.decode(embedding, dense, points, np.ones(points.shape[:2], np.float32))[0, 0])
        return np.stack(found)

    def encode(self, picture: Any) -> Callable[[], Mask]:
        """Encode; see `Runner.encode`."""
        image = load_image(picture)
        pixels, features = self._encoded(image)
        dense = self._prompts(features, self._text[0])[1]
        embedding = self._parts.embed(pixels, features, self._text[:1])
        centre = np.full((1, 1, 2), self._geometry.image_size / 2, np.float32)
        label = np.ones((1, 1), np.float32)
        return lambda: resize(self._parts.decode(embedding, dense, centre, label)[0, 0], *image.size) > 0

    def _encoded(self, image: Image.Image) -> tuple[Float, Float]:
        pixels = plain_pixels(image, self._geometry.image_size)
        return pixels, self._parts.features(pixels)

    def _prompts(self, features: Float, text: Float) -> tuple[Float, Float]:
        scores = (features[0, 1:] @ text).reshape(self._geometry.patch_grid, -1)
        full_map = prompts.similarity_map(scores, self._geometry.image_size)
        return full_map, prompts.dense_prompt(full_map, self._geometry, self._prompting)


class TorchParts:
    """The reference model.

    Args:
        request: what to open.
        compiled: whether through ``torch.compile``, with its defaults.
    """

    def __init__(self, request: Request, *, compiled: bool) -> None:
        import torch

        from cgsam_edge.export.loading import load_reference

        if request.threads:
            torch.set_num_threads(request.threads)
        model = load_reference(Path(request.checkpoint))
        wrap: Callable[[Any], Any] = torch.compile if compiled else lambda work: work
        self._features, self._embed = wrap(model.image_features), wrap(model.encode)
        self._decode, self._reduced = wrap(model.decode), request.arithmetic == "reduced"

    def features(self, pixels: Float) -> Float:
        """Run CLIP; see `Parts.features`."""
        return self._in_torch(self._features, pixels)

    def embed(self, pixels: Float, features: Float, text: Float) -> Float:
        """Run the encoder; see `Parts.embed`."""
        return self._in_torch(self._embed, pixels, features, text)

    def decode(self, embedding: Float, dense: Float, points: Float, labels: Float) -> Float:
        """Run the decoder; see `Parts.decode`."""

        def work(*given: Any) -> Any:
            return self._decode(given[0], given[1], given[2:])[0]

        return self._in_torch(work, embedding, dense, points, labels)

    def _in_torch(self, work: Callable[..., Any], *arrays: Float) -> Float:
        import torch

        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._reduced):
            out: Float = work(*(torch.from_numpy(array) for array in arrays)).float().numpy()
            return out


class PlainParts:
    """Parts as files, each opened by an engine as its first example says; a part not in the folder is beside it."""

    def __init__(self, request: Request) -> None:
        make = _onnxruntime if request.engine == "onnxruntime" else _openvino
        found = {name: _file(Path(request.artefact), name) for name in ("clip", "encoder", "decoder")}
        self._run = {name: make(path, request) for name, path in found.items()}

    def features(self, pixels: Float) -> Float:
        """Run CLIP; see `Parts.features`."""
        return self._run["clip"]({"pixels": pixels})

    def embed(self, pixels: Float, features: Float, text: Float) -> Float:
        """Run the encoder; see `Parts.embed`."""
        return self._run["encoder"]({"pixels": pixels, "features": features, "text": text})

    def decode(self, embedding: Float, dense: Float, points: Float, labels: Float) -> Float:
        """Run the decoder; see `Parts.decode`."""
        return self._run["decoder"]({"embedding": embedding, "dense": dense, "points": points, "labels": labels})


def _file(folder: Path, name: str) -> Path:
    """Return a part's file: quantised, or the float32 one that `prepare` links beside."""
    return next(path for path in (folder / f"{name}.xml", folder / f"{name}.onnx") if path.exists())


def _onnxruntime(path: Path, request: Request) -> Callable[[dict[str, Float]], Float]:
    onnxruntime = telemetry.load("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL  # which is its default
    options.intra_op_num_threads = request.threads or 0
    session = onnxruntime.InferenceSession(str(path), options)
    return lambda fed: session.run(None, fed)[0]


def _openvino(path: Path, request: Request) -> Callable[[dict[str, Float]], Float]:
    openvino = telemetry.load("openvino")
    forced = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    settings: dict[str, Any] = {} if request.arithmetic == "default" else forced
    if request.threads:
        settings["INFERENCE_NUM_THREADS"] = request.threads
    compiled = openvino.compile_model(str(path), "CPU", settings)
    return lambda fed: compiled(fed)[0]
