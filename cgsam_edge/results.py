"""Results of a segmentation, and their other forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import UnknownConceptError
from cgsam_edge.mask_runs import MaskRuns
from cgsam_edge.objects import MIN_AREA, ObjectMask, concept_objects
from cgsam_edge.prompts import resize
from cgsam_edge.strips import label_strips, strips
from cgsam_edge.vocabulary import fold

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from cgsam_edge.tracked import TrackedObject


ABSENT_LOGIT = -10.0
"""Every logit of a concept that was ruled out and not computed: a probability of 0.00005."""


@lru_cache(maxsize=1)
def absent_logits(side: int) -> NDArray[np.float32]:
    """Return the logits of an empty mask, float32 (side, side), shared and read-only."""
    logits = np.full((side, side), ABSENT_LOGIT, np.float32)
    logits.flags.writeable = False
    return logits


@dataclass(frozen=True, eq=False)
class ConceptResult:
    """One concept in one image of width W and height H.

    Attributes:
        name: the concept.
        logits: logits of the decoder, float32 (m, m); the mask is where they are > 0.
        score: predicted IoU of the mask; a regression, so it may lie outside 0 to 1.
        presence: confidence that the concept is in the image at all, 0 to 1; the predicted IoU if nothing was
            calibrated.
        present: whether `presence` reaches the concept's threshold; True if nothing was calibrated. The mask is kept
            either way.
        evidence: float32 (7,), the numbers behind `presence`, see `cgsam_edge.presence.EVIDENCE`.
        similarity: float32 (g, g), similarity of the concept with CLIP's patches, not normalised.
        points: float32 (N, 2), the clicks used, as (x, y) in the image's pixels.
        labels: float32 (N,), 1 inside and 0 outside.
        box: float32 (4,) as (x0, y0, x1, y1) in the image's pixels, or None.
        image_size: (W, H).
        skipped: whether similarity alone ruled the concept out, so that neither mask nor score was computed. It is then
            not `present`, the mask is empty, all logits are -10, the score is 0, there are no points, `presence` is the
            probability from similarity alone, and `evidence` is that of an empty mask.
    """

    name: str
    logits: NDArray[np.float32] = field(repr=False)
    score: float
    presence: float
    present: bool
    evidence: NDArray[np.float32] = field(repr=False)
    similarity: NDArray[np.float32] = field(repr=False)
    points: NDArray[np.float32]
    labels: NDArray[np.float32]
    box: NDArray[np.float32] | None
    image_size: tuple[int, int]
    skipped: bool = False

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Bool (H, W): the logits interpolated bilinearly to the image, then > 0. Read-only; copy it to change it."""
        width, height = self.image_size
        mask = np.empty((height, width), bool)
        for columns, strip in self.mask_strips():
            if strip.shape == mask.shape:
                mask = strip  # all of it: nothing to copy
            else:
                mask[:, columns] = strip
        mask.flags.writeable = False
        return mask

    def logit_strips(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield the logits at the image's size in parts from left to right: the columns, and float32 (H, w)."""
        return strips(self.logits, *self.image_size)

    def mask_strips(self) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
        """Yield the mask in parts from left to right: the columns, and bool (H, w)."""
        return ((columns, strip > 0) for columns, strip in self.logit_strips())

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return self._runs.area

    def full_logits(self) -> NDArray[np.float32]:
        """Return the logits at the image's size, float32 (H, W)."""
        return resize(self.logits, *self.image_size)

    def rle(self) -> dict[str, Any]:
        """Return the mask as COCO's compressed RLE: ``{"size": [H, W], "counts": str}``."""
        return self._runs.rle()

    def bounding_box(self) -> tuple[int, int, int, int] | None:
        """Return (x, y, width, height) of the mask in pixels, COCO's order, or None if it is empty."""
        return self._runs.bounding_box()

    def objects(self, *, min_area: float = MIN_AREA) -> tuple[ObjectMask, ...]:
        """Return the 8-connected parts of the mask, the largest first; those of one concept that touch are one object.

        One rule cleans the mask first: parts smaller than `min_area` are dropped, then holes smaller than it are
        filled. With 0, the objects together are exactly the mask. `present` plays no part.

        Args:
            min_area: a whole number of pixels, or a share of the picture as a float below 1.

        Raises:
            InputError: `min_area` is neither.
        """
        inside = self.points[self.labels > 0]
        return concept_objects(
            self._runs,
            concept=self.name,
            score=self.score,
            presence=self.presence,
            clicks=inside,
            min_area=min_area,
        )

    @cached_property
    def _runs(self) -> MaskRuns:
        """The mask as runs, so that area, box and RLE need no full-size mask."""
        width, height = self.image_size
        return MaskRuns.of((strip for _, strip in self.mask_strips()), (height, width))


@dataclass(frozen=True, eq=False)
class Result(Mapping[str, ConceptResult]):
    """All requested concepts of one image: a mapping from name to `ConceptResult`, in the requested order.

    A concept is also found by its synonyms.

    Attributes:
        image: the RGB image that was segmented.
        concepts: results by name.
        aliases: names by folded name or synonym.
        left_out: requested names that were not computed, and the option responsible: "max_concepts" or "time_budget".
        tracks: the objects of this frame with the numbers that they keep over frames, by number; empty unless
            `Segmenter.stream_images` ran with ``track``.
    """

    image: Image.Image
    concepts: Mapping[str, ConceptResult]
    aliases: Mapping[str, str] = field(default_factory=dict, repr=False)
    left_out: Mapping[str, str] = field(default_factory=dict)
    tracks: tuple[TrackedObject, ...] = field(default=(), repr=False)

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the image that was segmented, in pixels."""
        return self.image.size

    def __getitem__(self, name: str) -> ConceptResult:
        known = self.aliases.get(fold(name), name)
        if known in self.left_out:
            raise UnknownConceptError(name, tuple(self.concepts), f"cut short by {self.left_out[known]}, the result")
        if known not in self.concepts:
            raise UnknownConceptError(name, tuple(self.concepts), "the result")
        return self.concepts[known]

    def __iter__(self) -> Iterator[str]:
        return iter(self.concepts)

    def __len__(self) -> int:
        return len(self.concepts)

    def label_map(self) -> NDArray[np.int32]:
        """Return int32 (H, W): for each pixel the index of a concept in this result's order, or -1 for none.

        Masks may overlap. A pixel in several masks belongs to the concept with the highest logit there. Concepts that
        are not `present` have no pixels.
        """
        width, height = self.image_size
        labels = np.empty((height, width), np.int32)
        for columns, strip in self.label_strips():
            labels[:, columns] = strip
        return labels

    def label_strips(self) -> Iterator[tuple[slice, NDArray[np.int16]]]:
        """Yield `label_map` in parts from left to right: the columns, and int16 (H, w); for big images."""
        present = {i: one for i, one in enumerate(self.concepts.values()) if one.present}
        plain = {i: one.logits for i, one in present.items() if type(one) is ConceptResult}
        return label_strips(
            plain, *self.image_size, {i: one.logit_strips() for i, one in present.items() if i not in plain}
        )

    def overlay(self, *, opacity: float = 0.55) -> Image.Image:
        """Return the image with the masks in colour, and a legend beside it; overlaps are resolved as in `label_map`.

        Saved as a PNG, it holds a mark by which ``cgsam segment`` leaves it out when it searches a folder.

        Args:
            opacity: opacity of the masks, 0 to 1.
        """
        from cgsam_edge.overlay import draw_overlay  # imported only when needed
        from cgsam_edge.written_files import as_drawn

        return as_drawn(draw_overlay(self, opacity))

    def objects(self, *, min_area: float = MIN_AREA) -> tuple[ObjectMask, ...]:
        """Return the objects of all concepts that are `present`, in their order; see `ConceptResult.objects`.

        Args:
            min_area: smallest object and smallest hole: a whole number of pixels, or a share of the picture below 1.

        Raises:
            InputError: `min_area` is neither.
        """
        return tuple(one for concept in self.values() if concept.present for one in concept.objects(min_area=min_area))

    def to_supervision(self, *, min_area: float = MIN_AREA) -> Any:
        """Return the objects as `supervision.Detections`: boxes, masks, ``class_id`` in the order of this result.

        ``confidence`` is the concept's presence. ``data`` has the concept as "class_name", and its score as "score".

        Args:
            min_area: as in `objects`.

        Raises:
            MissingLibraryError: supervision is not installed; it is in the extra `labels`.
            InputError: `min_area` is neither pixels nor a share.
        """
        from cgsam_edge.detections import to_detections  # imported only when needed

        return to_detections(self, min_area=min_area)

    def blurred(
        self, names: str | Iterable[str] | None = None, *, cells: int = 32, margin: int | None = None
    ) -> Image.Image:
        """Return the image with concepts that are present blurred, to make people or number plates unrecognisable.

        What is blurred is reduced to coarse cells first, so it cannot be computed back. What the model does not find
        is not blurred.

        Args:
            names: a concept or several; None means all of this result.
            cells: cells along the longer side of the whole image; fewer hide more. A cell has 8 pixels at least.
            margin: pixels by which masks are widened first; None means the side of a cell of the decoder's mask, which
                is how exact borders are.

        Raises:
            UnknownConceptError: the result does not hold a concept.
            InputError: ``cells`` or ``margin`` is not a valid number.
        """
        from cgsam_edge.effects import blurred

        return blurred(self, names, cells, margin)

    def cutout(
        self, names: str | Iterable[str] | None = None, *, background: tuple[int, int, int] | None = None
    ) -> Image.Image:
        """Return the image without its background: RGBA, with everything outside of the masks transparent and black.

        Args:
            names: a concept or several that are kept if they are present; None means all of this result.
            background: red, green and blue, 0 to 255, to fill the background with; the picture is RGB then.

        Raises:
            UnknownConceptError: the result does not hold a concept.
            InputError: ``background`` is not a colour.
        """
        from cgsam_edge.effects import cut_out

        return cut_out(self, names, background)

    def to_coco(self) -> list[dict[str, Any]]:
        """Return entries by concept: ``category``, ``segmentation`` as RLE, ``area``, ``bbox``, ``score``, prompts."""
        return [
            {
                "category": concept.name,
                "segmentation": concept.rle(),
                "area": concept.area,
                "bbox": list(concept.bounding_box() or (0, 0, 0, 0)),
                "score": round(concept.score, 6),
                "presence": round(concept.presence, 6),
                "present": concept.present,
                "skipped": concept.skipped,
                "points": concept.points.round(3).tolist(),
                "labels": concept.labels.astype(int).tolist(),
                "box": None if concept.box is None else concept.box.round(3).tolist(),
            }
            for concept in self.concepts.values()
        ]
