"""Comparing two bundles on this machine: the masks of one with those of the other, and how long both take."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge._version import __version__
from cgsam_edge.errors import InputError
from cgsam_edge.image import load_image
from cgsam_edge.quality.findings import GraphQuality, Quality
from cgsam_edge.quality.judge import MIN_IOU, GateLimits, TargetQuality
from cgsam_edge.quality.labels import LabelledImage
from cgsam_edge.quality.latency import Racer, race
from cgsam_edge.quality.pairs import MaskPair, Pair, pair_of_masks
from cgsam_edge.runtimes import cache
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.runtimes.registry import BACKENDS
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.vocabulary import fold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Side:
    """One of two bundles.

    Attributes:
        name: on the page.
        segmenter: the bundle, opened on a backend that the registry lists.
        threads: that it was opened with.
    """

    name: str
    segmenter: Segmenter
    threads: int | None = None

    @property
    def label(self) -> str:
        """The name with the engine in use."""
        return f"{self.name} on {self.segmenter.backend}"


def common_concepts(a: Side, b: Side, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the concepts that both bundles know, by the first one's names unless others are asked for.

    Args:
        a: the first bundle.
        b: the second.
        wanted: names or synonyms; None means all.

    Raises:
        InputError: a bundle does not know a name that is asked for, or they have no concept in common.
    """
    known = [side.segmenter.bundle.vocabulary.aliases for side in (a, b)]
    if wanted is None:
        found = tuple(name for name in a.segmenter.concepts if fold(name) in known[1])
        if not found:
            lists = "; ".join(f"{side.name} knows {', '.join(side.segmenter.concepts)}" for side in (a, b))
            raise InputError(f"the two bundles have no concept in common: {lists}. Export one with the other's.")
        return found
    for side, aliases in zip((a, b), known, strict=True):
        missing = [name for name in wanted if fold(name) not in aliases]
        if missing:
            raise InputError(
                f"{side.name} does not know {', '.join(missing)}; it knows {', '.join(side.segmenter.concepts)}."
            )
    unique: dict[int, str] = {}
    for name in wanted:
        unique.setdefault(known[0][fold(name)], name)
    return tuple(unique.values())


def compare(
    a: Side,
    b: Side,
    images: Sequence[LabelledImage],
    concepts: Sequence[str],
    *,
    pictures: str,
    notes: Sequence[str] = (),
    progress: Callable[[int], object] = lambda _: None,
) -> Quality:
    """Segment the same images with both bundles, and measure both.

    Args:
        a: what the other is compared with.
        b: the other.
        images: with labels or without.
        concepts: that both know, see `common_concepts`.
        pictures: where the images came from, a line for the page.
        notes: for the page.
        progress: called with the number of images done.

    Raises:
        ImageError: an image cannot be used.
        BackendError: an engine failed.
    """
    pairs = []
    for count, image in enumerate(images, start=1):
        pairs += _pairs(a, b, image, concepts)
        progress(count)
    graphs = tuple(race([_racer(a), _racer(b)]))
    return Quality(
        title=f"{b.name} compared with {a.name}",
        reference=a.name,
        pictures=pictures,
        targets=(TargetQuality(b.label, tuple(pairs), _limits(graphs)),),
        graphs=graphs,
        notes=(*notes, *_differences(a, b, concepts)),
        machine=_machine(a, b),
        comparison=True,
    )


def both_masks(a: Side, b: Side, pair: MaskPair) -> tuple[Image.Image, Mask, Mask]:
    """Segment once more what is shown: the picture (W, H) and both bundles' masks, bool (H, W)."""
    first, second = (side.segmenter.encode(pair.image).predict(pair.concept).mask for side in (a, b))
    return load_image(pair.image), first, second


def _pairs(a: Side, b: Side, image: LabelledImage, concepts: Sequence[str]) -> list[MaskPair]:
    first, second = (side.segmenter.segment(image.path, concepts, skip_absent=False) for side in (a, b))
    index = a.segmenter.bundle.vocabulary.aliases
    truths: dict[int, Mask] = {}
    for name, mask in image.masks.items():  # several names may be synonyms of one concept
        if fold(name) in index:
            found = index[fold(name)]
            truths[found] = truths[found] | mask if found in truths else mask
    made = []
    for concept in concepts:
        label = truths.get(index[fold(concept)]), image.valid
        models, calibrated = (first[concept], second[concept]), _calibrated(a, b, concept)
        made.append(pair_of_masks(Pair(image.path, concept), models, label, calibrated=calibrated))
    return made


def _calibrated(a: Side, b: Side, concept: str) -> bool:
    return all(side.segmenter.bundle.vocabulary.calibrated(concept) for side in (a, b))


def _racer(side: Side) -> Racer:
    placed = side.segmenter.placement
    options = SessionOptions(side.threads, placed.device, placed.performance)
    return Racer(side.label, side.segmenter.bundle, BACKENDS[placed.backend], placed.target, options)


def _limits(graphs: Sequence[GraphQuality]) -> GateLimits:
    """Return what two bundles must have in common to agree: that of the lowest precision in either."""
    least = min(MIN_IOU.values())
    return GateLimits(min(MIN_IOU.get(graph.precision, least) for graph in graphs))


def _differences(a: Side, b: Side, concepts: Sequence[str]) -> list[str]:
    """Return remarks on what the comparison leaves out."""
    found = []
    for side in (a, b):
        aliases = side.segmenter.bundle.vocabulary.aliases
        asked = {aliases[fold(name)] for name in concepts}
        others = [name for i, name in enumerate(side.segmenter.concepts) if i not in asked]
        if others:
            found.append(f"Not compared, of {side.name}: {', '.join(others)}.")
    if not any(_calibrated(a, b, concept) for concept in concepts):
        found.append("Presence is not compared: it is not calibrated in both bundles (cgsam calibrate).")
    return found


def _machine(a: Side, b: Side) -> tuple[str, ...]:
    host = cache.host()
    placed = [side.segmenter.placement for side in (a, b)]
    return (
        f"{host.system} {host.architecture}, {host.processor or 'processor unknown'}, {host.cores} cores",
        *(
            f"{side.name}: {p.backend} {p.version} on {p.device}, {p.precision}, {_threads(side)}"
            for side, p in zip((a, b), placed, strict=True)
        ),
        f"cgsam-edge {__version__}, Python {platform.python_version()}, numpy {version('numpy')}",
    )


def _threads(side: Side) -> str:
    return "all cores" if side.threads is None else f"{side.threads} threads"
