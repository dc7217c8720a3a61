"""From photos to activation ranges, which the quantisers of all targets use."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.calibration.fakequant import quantised
from cgsam_edge.calibration.ranges import METHODS, Observer, Range
from cgsam_edge.calibration.smoothing import smooth
from cgsam_edge.encoded import Encoded
from cgsam_edge.export.graphs.build import Graph, Graphs
from cgsam_edge.image import load_image, to_pixels
from cgsam_edge.manifest import IMAGE_GRAPHS
from cgsam_edge.quality.gate import Gate, unlabelled
from cgsam_edge.quality.photos import Photos
from cgsam_edge.segmenter import Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Feed = Mapping[str, NDArray[np.float32]]

Progress = Callable[[str], None]
"""Called with one line of progress."""

SMOOTHING_PICTURES = 8
"""Pictures for smoothing, which only needs the magnitude of each channel."""

JUDGED_PICTURES, JUDGED_CONCEPTS = 2, 4
"""Pictures for comparing the methods of choosing ranges: each costs a run of the concept graph per method."""


@dataclass(frozen=True)
class Calibrated:
    """The result of a calibration.

    Attributes:
        ranges: range of each layer's input, by graph and layer.
        method: how they were chosen: the one of `METHODS` with the best masks.
        smoothed: number of places where outlier channels were smoothed.
        scores: mean error of the mask logits with each method, in standard deviations.
        feeds: inputs for quantisers that run the graphs themselves.
        absent: photos in which PyTorch called none of the requested concepts present; empty if presence is not
            calibrated.
    """

    ranges: dict[tuple[str, str], Range]
    method: str
    smoothed: int
    scores: dict[str, float]
    feeds: Feeds
    absent: tuple[str, ...]


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
        each = min(total, max(2, math.ceil(2 * total / len(self.photos.paths))))
        return [(number * each + i) % total for i in range(each)]

    def encoded(self) -> Iterator[tuple[int, Encoded]]:
        """Encode each picture, and store its features."""
        for number, path in enumerate(self.photos.paths):
            encoded = self.segmenter.encode(path)
            np.savez(self.folder / f"{number}.npz", **encoded.features)  # type: ignore[arg-type]
            yield number, encoded

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


def calibrate(graphs: Graphs, feeds: Feeds, smoothing: float, progress: Progress = lambda _: None) -> Calibrated:
    """Smooth the graphs in place, and observe ranges on all pictures.

    Args:
        graphs: the graphs that the feeds' segmenter runs.
        feeds: over the calibration pictures.
        smoothing: strength of smoothing, see `smooth`; 0 leaves the graphs unchanged.
        progress: receives a line per picture.

    Raises:
        ExportError: an input of a layer was NaN or infinite.
    """
    smoothed = 0
    if smoothing:
        first = Observer(graphs)
        with first.watching():
            for number, encoded in _some(feeds, SMOOTHING_PICTURES):
                _predict(encoded, feeds.concepts(number))
                progress(f"channels of picture {number + 1}")
        first.ranges("minmax")  # refuse NaN before it spreads into the weights
        smoothed = smooth(graphs, first.seen, smoothing)
    observer, absent = Observer(graphs), []
    with observer.watching():
        for number, encoded in feeds.encoded():
            if not _predict(encoded, feeds.concepts(number)):
                absent.append(feeds.photos.paths[number].name)
            progress(f"ranges of picture {number + 1} of {len(feeds.photos.paths)}")
    scores = _compare(observer, graphs, feeds, progress)
    method = min(scores, key=scores.__getitem__)
    return Calibrated(observer.ranges(method), method, smoothed, scores, feeds, tuple(absent))


def _some(feeds: Feeds, count: int) -> Iterator[tuple[int, Encoded]]:
    for number, path in enumerate(feeds.photos.paths[:count]):
        yield number, feeds.segmenter.encode(path)


def _predict(encoded: Encoded, concepts: Sequence[int]) -> bool:
    """Run some concepts, and return whether any is called present."""
    names = encoded.vocabulary.names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the warning about training does not matter here
        found = [encoded.predict(names[i]).present for i in concepts]  # compute all of them: each run is observed
    return any(found)


def _compare(observer: Observer, graphs: Graphs, feeds: Feeds, progress: Progress) -> dict[str, float]:
    """Return the mean error of the mask logits with each method's ranges, simulated in PyTorch."""
    judge = Gate(feeds.segmenter, unlabelled(feeds.photos.take(JUDGED_PICTURES)), concepts=JUDGED_CONCEPTS)
    scores = {}
    for method in METHODS:
        ranges = observer.ranges(method)
        with quantised(graphs, ranges, ranges.keys()):
            scores[method] = float(np.mean([pair.error for pair in judge.measure(feeds.segmenter)]))
        progress(f"ranges by {method}: error of the masks {scores[method]:.4f}")
    return scores
