"""Objects that keep their number from frame to frame, and how they are found again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cgsam_edge.errors import InputError
from cgsam_edge.objects import MIN_AREA

if TYPE_CHECKING:
    from cgsam_edge.objects import ObjectMask


@dataclass(frozen=True, eq=False)
class TrackedObject:
    """One object in one frame of a stream, with the number that it has in all frames.

    Attributes:
        id: its number, from 1; no two objects of a stream have the same, even if one is long gone.
        object: its mask, box and concept in this frame.
        frames: in how many frames it was seen so far, this one included.
        hidden: in how many frames just before this one it was not seen; 0 unless it has just returned.
        velocity: pixels a frame, right and down, as it moves in the picture.
    """

    id: int
    object: ObjectMask = field(repr=False)
    frames: int
    hidden: int
    velocity: tuple[float, float]

    def to_coco(self) -> dict[str, Any]:
        """Return an entry like those of `Result.to_coco`, with ``id``, ``frames``, ``hidden`` and ``velocity``."""
        return {
            "id": self.id,
            "category": self.object.concept,
            "segmentation": self.object.rle(),
            "area": self.object.area,
            "bbox": list(self.object.box),
            "frames": self.frames,
            "hidden": self.hidden,
            "velocity": [round(one, 2) + 0 for one in self.velocity],
        }


@dataclass(frozen=True)
class Tracking:
    """How objects are tracked.

    Attributes:
        min_area: smallest object, in pixels or as a share of the picture, see `ConceptResult.objects`.
        min_iou: least overlap, 0 to 1, of an object with the place where it should be.
        max_gap: frames for which an object may be hidden and still keep its number.
        min_frames: frames in which something new must be seen before it gets a number.

    Raises:
        InputError: a value is out of range.
    """

    min_area: float = MIN_AREA
    min_iou: float = 0.1
    max_gap: int = 12
    min_frames: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.min_iou <= 1:
            raise InputError(f"min_iou must be above 0 and at most 1, got {self.min_iou!r}.")
        for name, least in (("max_gap", 0), ("min_frames", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name} must be a whole number, {least} or more, got {value!r}.")
