"""Evidence of concepts in labelled images, from which presence and screening are calibrated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.agreement import is_held, labelled_pixels
from cgsam_edge.errors import InputError
from cgsam_edge.quality.labels import LabelledImage, MatchedClasses, Remarks, match_classes
from cgsam_edge.segmenter import Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_IMAGES = 5
"""Fewest images with a concept, and fewest without it, that calibration needs."""


@dataclass(frozen=True)
class Observation:
    """One concept in one image: what the graphs computed, and whether the image holds it.

    Attributes:
        image: number of the image.
        concept: its index in the vocabulary.
        evidence: float32 (7,), see `cgsam_edge.presence.EVIDENCE`.
        held: whether the image holds it.
    """

    image: int
    concept: int
    evidence: NDArray[np.float32]
    held: bool


def observe(
    segmenter: Segmenter,
    images: Iterable[LabelledImage],
    concepts: Sequence[str],
    progress: Callable[[int], object] = lambda _: None,
    remarks: Remarks | None = None,
) -> list[Observation]:
    """Segment labelled images from text alone, and collect the evidence of presence.

    Pairs with 1 to 100 labelled pixels are left out: they count as neither held nor absent.

    Args:
        segmenter: the opened bundle.
        images: labelled images; only one at a time is in memory.
        concepts: the labels' classes, all known to the bundle; classes that mean the same concept are joined.
        progress: called with the number of images done.
        remarks: receives the images that are left out; without it, the first unusable image raises.

    Raises:
        InputError: the bundle does not know a concept, or without ``remarks`` an image cannot be used.
    """
    matched = match_classes(concepts, segmenter.bundle.vocabulary)
    found: list[Observation] = []
    number = 0
    for image in images:
        try:
            found += list(_observed(segmenter, matched, image, number))
        except InputError as error:
            if remarks is None:
                raise
            remarks.left_out.append(str(error))
            continue
        number += 1
        progress(number)
    return found


def _observed(
    segmenter: Segmenter, matched: MatchedClasses, image: LabelledImage, number: int
) -> Iterator[Observation]:
    result = segmenter.segment(image.path, tuple(matched.names.values()), skip_absent=False)
    joined = matched.joined(image)
    for index, name in matched.names.items():
        joined.check_shape(result[name].mask.shape)
        labelled = labelled_pixels(joined.masks.get(name), joined.valid)
        if labelled == 0 or is_held(labelled):
            yield Observation(number, index, result[name].evidence, is_held(labelled))


def count(
    observations: Sequence[Observation], concepts: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each concept's images with it, all its images, and then the concepts with enough of both kinds.

    Args:
        observations: from `observe`.
        concepts: number of concepts in the vocabulary.

    Raises:
        InputError: no concept is present in enough images and absent from enough.
    """
    which = np.array([o.concept for o in observations], np.int64)
    held = np.bincount(which[[o.held for o in observations]], minlength=concepts)
    seen = np.bincount(which, minlength=concepts)
    usable = np.flatnonzero((held >= MIN_IMAGES) & (seen - held >= MIN_IMAGES))
    if not len(usable):
        raise InputError(
            f"no concept is in {MIN_IMAGES} labelled images and absent from {MIN_IMAGES} others, so presence cannot be "
            "calibrated. Give more labelled images, some of them without the concept."
        )
    return held, seen, usable
