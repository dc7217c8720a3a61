"""Objects: the connected parts of a concept's mask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.mask_runs import MaskRuns
from cgsam_edge.polygons import TOLERANCE, Polygon, mask_polygons
from cgsam_edge.run_parts import cleaned, split_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_AREA = 1e-4
"""Smallest part, and smallest hole, as a share of the picture: 31 pixels of 640 × 480, 1,200 of 12 megapixels."""


@dataclass(frozen=True, eq=False)
class ObjectMask:
    """One connected part of a concept's mask in an image of width W and height H.

    The model computes one mask for all objects of a concept. Objects that touch in the image are therefore one part,
    and an object that something in front of it divides is several.

    Attributes:
        concept: the concept.
        score: the concept's score, the same for all its objects: the model judges the mask as a whole.
        presence: the concept's presence.
        area: pixels.
        box: x, y, width, height in pixels, COCO's order.
        image_size: (W, H).
        prompt: the first click inside the object, as x, y in pixels, or None if no click lies in it.
        runs: the mask.
    """

    concept: str
    score: float
    presence: float
    area: int
    box: tuple[int, int, int, int]
    image_size: tuple[int, int]
    prompt: tuple[float, float] | None = None
    runs: MaskRuns = field(kw_only=True, repr=False)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Bool (H, W); made anew each time, because the object itself only keeps runs."""
        return self.runs.mask()

    def box_mask(self) -> NDArray[np.bool_]:
        """Return the mask within its box, bool (height, width); it takes no memory for the rest of the image."""
        (x, y, width, height), full = self.box, self.image_size[1]
        flips = np.zeros(width * full + 1, np.uint8)
        flips[self.runs.edges - x * full] = 1
        columns = np.bitwise_xor.accumulate(flips, out=flips)[:-1].reshape(width, full)
        return np.ascontiguousarray(columns[:, y : y + height].T).view(np.bool_)

    def rle(self) -> dict[str, Any]:
        """Return the mask as COCO's compressed RLE: ``{"size": [H, W], "counts": str}``."""
        return self.runs.rle()

    def polygons(self, tolerance: float = TOLERANCE) -> list[Polygon]:
        """Return the outlines with their holes, the largest first; see `cgsam_edge.polygons.mask_polygons`.

        An object has several polygons if its pixels touch at a corner only.

        Args:
            tolerance: most distance between the mask's outline and the polygons, in pixels; 0 for the exact outline.

        Raises:
            InputError: the tolerance is negative or not finite.
        """
        return mask_polygons(self.runs, tolerance)


def least_pixels(min_area: float, size: tuple[int, int]) -> int:
    """Return a smallest area in pixels.

    Args:
        min_area: pixels as a whole number, or a share of the picture as a float from 0 to below 1.
        size: width and height of the picture.

    Raises:
        InputError: it is neither.
    """
    if isinstance(min_area, (int, np.integer)) and not isinstance(min_area, bool) and min_area >= 0:
        return int(min_area)
    if isinstance(min_area, (float, np.floating)) and 0 <= min_area < 1:
        return int(np.ceil(min_area * size[0] * size[1]))
    raise InputError(
        f"min_area is a whole number of pixels, such as 200, or a share of the picture below 1, such as 0.001; got "
        f"{min_area!r}."
    )


def concept_objects(
    runs: MaskRuns,
    *,
    concept: str,
    score: float,
    presence: float,
    clicks: NDArray[np.float32],
    min_area: float = MIN_AREA,
) -> tuple[ObjectMask, ...]:
    """Return the parts of a mask as objects, the largest first.

    Args:
        runs: the concept's mask.
        concept: the concept.
        score: the concept's score.
        presence: the concept's presence.
        clicks: float32 (N, 2), clicks inside the concept, as x, y in pixels.
        min_area: smallest part and smallest hole, in pixels or as a share of the picture.

    Raises:
        InputError: `min_area` is neither pixels nor a share.
    """
    height, width = runs.size
    made = []
    for part in split_parts(cleaned(runs, least_pixels(min_area, (width, height)))):
        box = part.bounding_box()
        assert box is not None  # a part has a pixel
        prompt = next(((x, y) for x, y in clicks.tolist() if part.holds(x, y)), None)
        made.append(ObjectMask(concept, score, presence, part.area, box, (width, height), prompt, runs=part))
    return tuple(made)
