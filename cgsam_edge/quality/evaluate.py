"""Running a bundle over labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cgsam_edge import prompts
from cgsam_edge.agreement import holds
from cgsam_edge.encoded import Encoded
from cgsam_edge.errors import InputError
from cgsam_edge.quality.labels import LabelledImage
from cgsam_edge.quality.metrics import Evaluation, summarise
from cgsam_edge.quality.pairs import LabelPair, pair_with_label
from cgsam_edge.results import ConceptResult
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.vocabulary import fold

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODES = ("text", "clicks")


def evaluate(
    segmenter: Segmenter,
    images: Iterable[LabelledImage],
    concepts: Sequence[str],
    *,
    mode: str = "text",
    clicks: int = 3,
    progress: Callable[[int], object] = lambda _: None,
) -> Evaluation:
    """Measure a bundle against labels.

    Args:
        segmenter: the opened bundle.
        images: labelled images; one at a time is kept.
        concepts: the label's names, each of which the bundle must know.
        mode: "text", every concept in every image; or "clicks", those that an image holds, with clicks inside.
        clicks: how many in the second mode.
        progress: called with the number of images done.

    Raises:
        InputError: the mode is unknown, there is no image, or the bundle does not know a concept.
    """
    if mode not in MODES:
        raise InputError(f"no mode {mode!r}; expected one of {', '.join(MODES)}.")
    known = segmenter.bundle.vocabulary.aliases
    missing = [name for name in concepts if fold(name) not in known]
    if missing:
        raise InputError(
            f"the labels have classes that the bundle does not know: {', '.join(missing)}. Export the bundle with "
            "them, or write 'ignore: INDEX' in the class file in their place."
        )
    pairs: list[LabelPair] = []
    count = 0
    for count, image in enumerate(images, start=1):
        encoded = segmenter.encode(image.path)
        pairs += _text(encoded, image, concepts) if mode == "text" else _clicks(encoded, image, concepts, clicks)
        progress(count)
    if not count:
        raise InputError("there is no labelled image.")
    return summarise(mode, count, concepts, pairs)


def _text(encoded: Encoded, image: LabelledImage, concepts: Sequence[str]) -> list[LabelPair]:
    """Compute every concept, and note which of them a device would not."""
    pairs = []
    for concept in concepts:
        pair = _compare(encoded, image, concept, encoded.predict(concept))
        screened = encoded.vocabulary.calibrated(concept, "screening")
        pairs.append(replace(pair, ruled_out=bool(encoded.ruled_out(concept)) if screened else None))
    return pairs


def _clicks(encoded: Encoded, image: LabelledImage, concepts: Sequence[str], count: int) -> list[LabelPair]:
    pairs = []
    for concept in concepts:
        truth = image.masks.get(concept)
        if truth is not None and holds(truth, image.valid):
            got = encoded.predict(concept, points=inner_points(truth, count))
            pairs.append(_compare(encoded, image, concept, got))
    return pairs


def _compare(encoded: Encoded, image: LabelledImage, concept: str, got: ConceptResult) -> LabelPair:
    calibrated = encoded.vocabulary.calibrated(concept)
    return pair_with_label(image.path, concept, image.masks.get(concept), image.valid, got, calibrated=calibrated)


def inner_points(mask: NDArray[np.bool_], count: int) -> NDArray[np.float32]:
    """Return points (N, 2) well inside a mask (H, W), the same every time, at most ``count``.

    Candidates are at least half as far from the edge as the mask's innermost pixel; fixed priorities choose.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    candidates = np.flatnonzero(depth >= depth.max() / 2)
    order = np.argsort(prompts.priority(candidates.astype(np.uint64)))[::-1][:count]
    chosen = candidates[order]
    return np.stack([chosen % mask.shape[1], chosen // mask.shape[1]], axis=1).astype(np.float32) + 0.5
