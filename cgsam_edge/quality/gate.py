"""The gate: compares a target's masks with the PyTorch model's, starting from the picture, each with its own points."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge.agreement import Overlap, label_overlap, mask_iou
from cgsam_edge.encoded import Encoded
from cgsam_edge.errors import InputError
from cgsam_edge.image import load_image
from cgsam_edge.prompts import drawn_clicks, similarity_map
from cgsam_edge.quality.defaults import DRAWS
from cgsam_edge.quality.labels import LabelledImage, by_concept, unknown_classes
from cgsam_edge.quality.pairs import MaskPair, Pair, pair_of_masks
from cgsam_edge.quality.photos import Photos, small
from cgsam_edge.segmenter import Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.manifest import Manifest
    from cgsam_edge.results import ConceptResult
    from cgsam_edge.vocabulary import Vocabulary

    Mask = NDArray[np.bool_]

CONCEPTS_PER_PICTURE = 12
"""Largest number of concepts compared on a picture: those most similar to it."""


@dataclass(frozen=True)
class Expected:
    """PyTorch's result for one concept in one picture.

    Attributes:
        picture: the picture with its labels.
        concept: the concept's name.
        bits: the mask as packed bits.
        shape: (H, W) of the mask.
        present: whether the concept counts as present.
        logits: float32 (m, m), logits of the decoder.
        score: the predicted IoU.
        drawn: mean IoU of the mask with those at other draws of its points; None where it was not measured.
    """

    picture: LabelledImage
    concept: str
    bits: NDArray[np.uint8]
    shape: tuple[int, int]
    present: bool
    logits: NDArray[np.float32]
    score: float
    drawn: float | None = None

    @classmethod
    def of(cls, picture: LabelledImage, result: ConceptResult, drawn: float | None) -> Expected:
        """Keep what is needed of a result."""
        shape = (result.mask.shape[0], result.mask.shape[1])
        bits = np.packbits(result.mask)
        return cls(picture, result.name, bits, shape, result.present, result.logits, result.score, drawn)

    @property
    def mask(self) -> Mask:
        """The mask, bool (H, W)."""
        return np.unpackbits(self.bits, count=self.shape[0] * self.shape[1]).reshape(self.shape).astype(bool)

    @property
    def label(self) -> tuple[Mask | None, Mask | None]:
        """The concept's label and the valid pixels, bool (H, W), if there are labels."""
        return self.picture.masks.get(self.concept), self.picture.valid

    @property
    def label_overlap(self) -> Overlap | None:
        """Overlap of the mask with the label; None if the picture does not hold the concept."""
        return label_overlap(self.mask, *self.label)


class Gate:
    """Compares segmenters with a reference whose masks are computed once.

    Args:
        reference: the PyTorch model as a segmenter.
        pictures: with or without labels, whose classes may be any names of a concept; none was used for calibration.
        progress: called with a line after each picture.
        concepts: largest number compared on a picture: those most similar to it.
        draws: how many other draws of the points of text the reference is asked for, where it calls a concept present.

    Attributes:
        expected: by picture and concept.
        seconds: that the reference took for them.
    """

    def __init__(
        self,
        reference: Segmenter,
        pictures: Sequence[LabelledImage],
        progress: Callable[[str], None] = lambda _: None,
        concepts: int = CONCEPTS_PER_PICTURE,
        draws: int = DRAWS,
    ) -> None:
        if not pictures:
            raise InputError("the gate has no picture to compare masks on.")
        unknown = unknown_classes(pictures, reference.bundle.vocabulary)
        if unknown:
            progress(
                f"warning: labels of classes that are not concepts of the model are left out: {', '.join(unknown)}"
            )
        self.pictures = tuple(by_concept(picture, reference.bundle.vocabulary) for picture in pictures)
        self.expected: list[Expected] = []
        start = time.monotonic()
        for number, picture in enumerate(self.pictures, start=1):
            encoded = reference.encode(_image(picture))
            for name in _likely(encoded, reference.concepts, concepts):
                result = predict(encoded, name)
                drawn = _drawn(encoded, result, reference.bundle.manifest, draws if result.present else 0)
                self.expected.append(Expected.of(picture, result, drawn))
            progress(f"PyTorch's masks of picture {number} of {len(pictures)}")
        self.seconds = time.monotonic() - start

    def measure(
        self,
        segmenter: Segmenter,
        pictures: int | None = None,
        ask: Callable[[Encoded, str], ConceptResult] | None = None,
    ) -> tuple[MaskPair, ...]:
        """Return the pairs of a target.

        Args:
            segmenter: the target.
            pictures: number of pictures, from the first; None takes all.
            ask: function that prompts for a concept in another way than from text alone.
        """
        pairs: list[MaskPair] = []
        for picture in self.pictures[:pictures]:
            asked = [e for e in self.expected if e.picture is picture]
            encoded = segmenter.encode(_image(picture))
            pairs += [_pair(one, (ask or predict)(encoded, one.concept), segmenter.bundle.vocabulary) for one in asked]
        return tuple(pairs)

    def masks(self, segmenter: Segmenter, pair: MaskPair) -> tuple[Image.Image, Mask, Mask]:
        """Return a pair's picture, PyTorch's mask and the target's, for the report."""
        one = next(e for e in self.expected if e.picture.path == pair.image and e.concept == pair.concept)
        image = _image(one.picture)
        return image, one.mask, predict(segmenter.encode(image), one.concept).mask


def _pair(one: Expected, got: ConceptResult, vocabulary: Vocabulary) -> MaskPair:
    calibrated, pair = vocabulary.calibrated(one.concept), Pair(one.picture.path, one.concept)
    absent = one.picture.shows_absent(one.concept)
    return pair_of_masks(pair, (one, got), one.label, calibrated=calibrated, drawn=one.drawn, labelled_absent=absent)


def unlabelled(photos: Photos) -> tuple[LabelledImage, ...]:
    """Return pictures without labels."""
    return tuple(LabelledImage(path) for path in photos.paths)


def _image(picture: LabelledImage) -> Image.Image:
    image = load_image(picture.path)
    return image if picture.masks else small(image)  # labels have the picture's size


def _drawn(encoded: Encoded, result: ConceptResult, manifest: Manifest, draws: int) -> float | None:
    """Return the mean IoU of a mask with those of the same model at other draws of its points."""
    if not draws:
        return None
    full_map = similarity_map(result.similarity, manifest.geometry.image_size)
    ious = []
    for draw in range(1, draws + 1):
        clicks = drawn_clicks(full_map, encoded.image.size, manifest.prompting, draw)
        ious.append(mask_iou(result.mask, predict(encoded, result.name, clicks.points).mask))
    return float(np.mean(ious))


def _likely(encoded: Encoded, names: tuple[str, ...], count: int) -> tuple[str, ...]:
    if len(names) <= count:
        return names
    peaks = encoded.peaks()
    best = sorted(np.argsort(-peaks, kind="stable")[:count].tolist())
    return tuple(names[i] for i in best)


def predict(encoded: Encoded, concept: str, points: NDArray[np.float32] | None = None) -> ConceptResult:
    """Segment a concept from text alone, or from points inside it (N, 2), without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the warning concerns the model, not the target
        return encoded.predict(concept, points)
