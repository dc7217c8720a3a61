"""Comparing two bundles on this machine: their masks and their times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge.errors import InputError
from cgsam_edge.files import check_folder
from cgsam_edge.image import load_image
from cgsam_edge.quality.defaults import MIN_IOU
from cgsam_edge.quality.findings import GraphQuality, Quality
from cgsam_edge.quality.judge import GateLimits, TargetQuality
from cgsam_edge.quality.labels import LabelledImage, Remarks
from cgsam_edge.quality.labels.matching import by_concept
from cgsam_edge.quality.latency import race
from cgsam_edge.quality.pairs import MaskPair, Pair, pair_of_masks
from cgsam_edge.quality.report import write_report
from cgsam_edge.quality.sides import Opening, Side, both_calibrated, common_concepts, machine, not_compared, opened
from cgsam_edge.quality.sources import PictureSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

_SHOWN = 20
"""Number of pictures named if none can be used."""


def compare_bundles(
    a: Path,
    b: Path,
    source: PictureSource,
    output: Path,
    *,
    opening: Opening,
    concepts: Sequence[str] | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Quality:
    """Compare two bundles on the same pictures, and write ``report.html`` and ``report.json``.

    Pictures that cannot be used are left out, and the result names them.

    Args:
        a: the bundle to compare with.
        b: the other bundle.
        source: where the pictures come from.
        output: the folder of the report.
        opening: how both bundles are opened.
        concepts: names or synonyms; None means all that both know.
        progress: called with the number of pictures done.

    Raises:
        InputError: a bundle or a folder cannot be used, no picture can, or the bundles do not know a concept.
        BackendError: an engine failed.
        OutputError: the report cannot be written.
    """
    check_folder(output)
    with opened(a, b, opening) as sides:
        asked = common_concepts(*sides, concepts)
        with source.open() as labels:
            remarks = Remarks([], [source.note] if source.note else [])
            quality = compare(
                *sides, labels.read(remarks), asked, remarks=remarks, named=source.named, progress=progress
            )
            quality = replace(
                quality,
                left_out=tuple(map(source.shortened, quality.left_out)),
                notes=tuple(map(source.shortened, quality.notes)),
            )
            write_report(quality, output, lambda _, pair: both_masks(*sides, pair))
    return quality


def compare(
    a: Side,
    b: Side,
    images: Iterable[LabelledImage],
    concepts: Sequence[str],
    *,
    remarks: Remarks,
    named: Callable[[int], str],
    progress: Callable[[int], object] = lambda _: None,
) -> Quality:
    """Segment the same images with both bundles, and measure both.

    Args:
        a: the bundle to compare with.
        b: the other.
        images: with or without labels; only one at a time is in memory.
        concepts: concepts of both bundles, see `common_concepts`.
        remarks: notes for the page; receives the images that cannot be used.
        named: function from the number of pictures to a line about them.
        progress: called with the number of images done.

    Raises:
        InputError: no image can be used.
        BackendError: an engine failed.
    """
    pairs: list[MaskPair] = []
    used = 0
    for count, image in enumerate(images, start=1):
        try:
            pairs += _pairs(a, b, image, concepts)
            used += 1
        except InputError as error:
            remarks.left_out.append(str(error))
        progress(count)
    if not used:
        raise InputError("\n  ".join(["none of the pictures can be used.", *remarks.left_out[:_SHOWN]]))
    graphs = tuple(race([a.racer(), b.racer()]))
    return Quality(
        title=f"{b.name} compared with {a.name}",
        reference=a.name,
        pictures=named(used),
        targets=(TargetQuality(b.label, tuple(pairs), _limits(graphs)),),
        graphs=graphs,
        notes=(*remarks.notes, *not_compared(a, b, concepts)),
        left_out=tuple(remarks.left_out),
        machine=machine(a, b),
        comparison=True,
    )


def both_masks(a: Side, b: Side, pair: MaskPair) -> tuple[Image.Image, Mask, Mask]:
    """Segment a shown picture once more: the picture (W, H) and both bundles' masks, bool (H, W)."""
    first, second = (side.segmenter.encode(pair.image).predict(pair.concept).mask for side in (a, b))
    return load_image(pair.image), first, second


def _pairs(a: Side, b: Side, image: LabelledImage, concepts: Sequence[str]) -> list[MaskPair]:
    first, second = (side.segmenter.segment(image.path, concepts, skip_absent=False) for side in (a, b))
    vocabulary = a.segmenter.bundle.vocabulary
    labelled = by_concept(image, vocabulary)
    labelled.check_shape((first.image.height, first.image.width))
    made = []
    for concept in concepts:
        name = vocabulary.names[vocabulary.index(concept)]
        label, absent = (labelled.masks.get(name), image.valid), labelled.shows_absent(name)
        models, calibrated = (first[concept], second[concept]), both_calibrated(a, b, concept)
        pair = Pair(image.path, concept)
        made.append(pair_of_masks(pair, models, label, calibrated=calibrated, labelled_absent=absent))
    return made


def _limits(graphs: Sequence[GraphQuality]) -> GateLimits:
    """Return the limits within which two bundles agree: those of the lowest precision in either."""
    least = min(MIN_IOU.values())
    return GateLimits(min(MIN_IOU.get(graph.precision, least) for graph in graphs))
