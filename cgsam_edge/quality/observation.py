"""Evidence of concepts in labelled images, from which presence and screening are calibrated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.agreement import is_held, labelled_pixels
from cgsam_edge.errors import InputError
from cgsam_edge.quality.labels import LabelledImage
from cgsam_edge.segmenter import Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_IMAGES = 5
"""Images that hold a concept, and images that do not, below which nothing is calibrated for it."""


@dataclass(frozen=True)
class Observation:
    """One concept in one image: what the graphs computed, and whether the image holds it.

    Attributes:
        image: number of the image.
        concept: its index in the vocabulary.
        evidence: float32 (7,), see `cgsam_edge.presence.EVIDENCE`.
        held: whether it is labelled there.
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
) -> list[Observation]:
    """Segment labelled images from text alone and keep the evidence of presence.

    Pairs with 1 to 100 labelled pixels are left out: they are neither.

    Args:
        segmenter: the opened bundle.
        images: labelled images; one at a time is kept.
        concepts: the labels' names, each of which the bundle must know.
        progress: called with the number of images done.

    Raises:
        UnknownConceptError: the bundle does not hold a concept.
    """
    vocabulary = segmenter.bundle.vocabulary
    indices = [vocabulary.index(name) for name in concepts]
    found = []
    for number, image in enumerate(images):
        result = segmenter.segment(image.path, concepts, skip_absent=False)
        for name, index in zip(concepts, indices, strict=True):
            labelled = labelled_pixels(image.masks.get(name), image.valid)
            if labelled == 0 or is_held(labelled):
                found.append(Observation(number, index, result[name].evidence, is_held(labelled)))
        progress(number + 1)
    return found


def count(
    observations: Sequence[Observation], concepts: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return for each concept the images that hold it, all its images, and then the concepts with enough of both kinds.

    Args:
        observations: from `observe`.
        concepts: how many the vocabulary has.

    Raises:
        InputError: no concept is present in enough images and absent from enough.
    """
    which = np.array([o.concept for o in observations], np.int64)
    held = np.bincount(which[[o.held for o in observations]], minlength=concepts)
    seen = np.bincount(which, minlength=concepts)
    usable = np.flatnonzero((held >= MIN_IMAGES) & (seen - held >= MIN_IMAGES))
    if not len(usable):
        raise InputError(
            f"no concept is in {MIN_IMAGES} labelled images and absent from {MIN_IMAGES} others, so nothing can be "
            "learnt about presence. Give more labelled images, some of them without the concept."
        )
    return held, seen, usable
