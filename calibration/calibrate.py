"""From photos to activation ranges, which the quantisers of all targets use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.agreement import logit_error
from cgsam_edge.calibration.arithmetic import arithmetic
from cgsam_edge.calibration.fakequant import quantised
from cgsam_edge.calibration.products import Products
from cgsam_edge.calibration.ranges import METHODS, RANGES_ALONE, UNJUDGED, Layer, Observer, Range, Watched
from cgsam_edge.calibration.smoothing import readers, smooth
from cgsam_edge.encoded import Encoded
from cgsam_edge.export.graphs.build import Graph, Graphs
from cgsam_edge.image import load_image, to_pixels
from cgsam_edge.manifest import IMAGE_GRAPHS
from cgsam_edge.quality.gate import predict
from cgsam_edge.quality.photos import Photos
from cgsam_edge.segmenter import Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Feed = Mapping[str, NDArray[np.float32]]

Progress = Callable[[str], None]
"""Called with one line of progress."""

JUDGED_MASKS, JUDGED_EACH = 4, 2
"""On which the ways to choose ranges are compared, and how many of a picture: each is computed again for each way."""


@dataclass(frozen=True)
class Calibrated:
    """The result of a calibration.

    Attributes:
        ranges: range of each layer's input, by graph and layer.
        method: how they were chosen: the one of `METHODS` with the best masks.
        smoothed: number of places where outlier channels were smoothed.
        scores: mean error of the mask logits with each method, in standard deviations; empty if none was judged.
        feeds: inputs for quantisers that run the graphs themselves.
        absent: photos in which PyTorch called none of the requested concepts present; empty if presence is not
            calibrated.
        products: of the input channels of each layer with each other, for weights of four bits.
    """

    ranges: dict[tuple[str, str], Range]
    method: str
    smoothed: int
    scores: dict[str, float]
    feeds: Feeds
    absent: tuple[str, ...]
    products: dict[Layer, Products] = field(default_factory=dict)


@dataclass(frozen=True)
class Feeds:
    """Inputs of the encoder graphs for each calibration picture, one at a time; image features are stored on disk.

    Args:
        photos: the pictures.
        segmenter: a segmenter of the model in PyTorch.
        folder: folder for the features, 25 MB a picture for ViT-B.
    """

    photos: Photos
    segmenter: Segmenter
    folder: Path

    def concepts(self, number: int) -> list[int]:
        """Return the concepts to run on a picture; over all pictures, each concept is used equally often."""
        total = len(self.segmenter.concepts)
        each = min(total, math.ceil(2 * total / len(self.photos.paths)))
        return [(number * each + i) % total for i in range(each)]

    def encode(self, number: int) -> Encoded:
        """Encode a picture, and keep its features."""
        encoded = self.segmenter.encode(self.photos.paths[number])
        np.savez(self.folder / f"{number}.npz", **encoded.features)  # type: ignore[arg-type]
        return encoded

    def first(self, count: int) -> Feeds:
        """Return the feeds of only the first few pictures."""
        few = Photos(self.photos.paths[:count], self.photos.origin, self.photos.rendered)
        return Feeds(few, self.segmenter, self.folder)

    def of(self, graph: Graph) -> Callable[[], Iterator[Feed]]:
        """Return a function whose every call yields a graph's inputs from the first picture on."""
        return lambda: (self._images if graph.name in IMAGE_GRAPHS else self._concepts)(graph)

    def _images(self, graph: Graph) -> Iterator[Feed]:
        size = self.segmenter.bundle.manifest.geometry.image_size
        for number, path in enumerate(self.photos.paths):
            made = {"pixels": to_pixels(load_image(path), size), **self._features(number)}
            yield {name: made[name] for name in graph.inputs}

    def _concepts(self, graph: Graph) -> Iterator[Feed]:
        vocabulary, grid = self.segmenter.bundle.vocabulary, self.segmenter.bundle.manifest.geometry.patch_grid
        for number in range(len(self.photos.paths)):
            features = self._features(number)
            for index in self.concepts(number):
                scores = features["clip_features"][1:] @ vocabulary.features[index]
                row = {"similarity": scores.reshape(1, 1, grid, grid), "text_row": vocabulary.rows[index : index + 1]}
                yield {name: {**features, **row}[name] for name in graph.inputs}

    def _features(self, number: int) -> Feed:
        with np.load(self.folder / f"{number}.npz") as stored:
            return dict(stored)


def calibrate(
    graphs: Graphs,
    feeds: Feeds,
    smoothing: float,
    progress: Progress = lambda _: None,
    watched: Watched = RANGES_ALONE,
) -> Calibrated:
    """Observe the inputs of all layers on all pictures, once, and smooth the graphs in place.

    Smoothing divides channels, so the ranges after it follow from what was seen before.

    Args:
        graphs: the graphs that the feeds' segmenter runs.
        feeds: over the calibration pictures.
        smoothing: strength of smoothing, see `smooth`; 0 leaves the graphs unchanged.
        progress: receives a line per picture.
        watched: what to observe besides.

    Raises:
        ExportError: an input of a layer was NaN or infinite.
    """
    observer = Observer(graphs, readers(graphs) if smoothing else None, watched)
    judged, absent = Judged(feeds), []
    with observer.watching():
        for number, path in enumerate(feeds.photos.paths):
            with arithmetic(reduced=not watched.judged or len(judged.expected) == JUDGED_MASKS):
                if not judged.observe(number):
                    absent.append(path.name)
            progress(f"ranges of picture {number + 1} of {len(feeds.photos.paths)}")
    observer.check()  # refuses NaN before it spreads into the weights
    places = smooth(graphs, observer.seen, smoothing) if smoothing else []
    for layer, scale in (item for place in places for item in place.items()):
        observer.seen[layer] = observer.seen[layer].divided(scale)
    scores = {}
    for method in METHODS if watched.judged else ():
        scores[method] = judged.error(graphs, observer.ranges(method))
        progress(f"ranges by {method}: error of the masks {scores[method]:.4f}")
    best = min(scores, key=scores.__getitem__, default=UNJUDGED)
    found = {layer: seen.products for layer, seen in observer.seen.items() if seen.products is not None}
    return Calibrated(observer.ranges(best), best, len(places), scores, feeds, tuple(absent), found)


@dataclass
class Judged:
    """The masks of the first pictures, by which the ways to choose ranges are compared.

    Attributes:
        feeds: over the calibration pictures.
        expected: logits by picture and concept, in float.
    """

    feeds: Feeds
    expected: dict[tuple[int, str], NDArray[np.float32]] = field(default_factory=dict)

    def observe(self, number: int) -> bool:
        """Run the concepts that go with a picture, and return whether one is called present."""
        encoded = self.feeds.encode(number)
        names = [encoded.vocabulary.names[index] for index in self.feeds.concepts(number)]
        found = [predict(encoded, name) for name in names]  # all of them: each is observed
        judged = found[: min(JUDGED_EACH, JUDGED_MASKS - len(self.expected))]
        self.expected |= {(number, result.name): result.logits for result in judged}
        return any(result.present for result in found)

    def error(self, graphs: Graphs, ranges: Mapping[Layer, Range]) -> float:
        """Return the mean error of the logits with these ranges, simulated in PyTorch, in standard deviations."""
        errors = []
        with quantised(graphs, ranges, ranges.keys()):
            for number in sorted({number for number, _ in self.expected}):
                encoded = self.feeds.segmenter.encode(self.feeds.photos.paths[number])
                asked = {name: logits for (picture, name), logits in self.expected.items() if picture == number}
                errors += [logit_error(logits, predict(encoded, name).logits).rms for name, logits in asked.items()]
        return float(np.mean(errors))
