"""Results as `supervision.Detections`, for its annotators, trackers and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import MissingLibraryError
from cgsam_edge.objects import MIN_AREA, ObjectMask

if TYPE_CHECKING:
    from cgsam_edge.results import Result


def to_detections(result: Result, *, min_area: float = MIN_AREA) -> Any:
    """Return the objects of a result; see `cgsam_edge.Result.to_supervision`."""
    supervision, numbers = _library(), {name: number for number, name in enumerate(result)}
    found = result.objects(min_area=min_area)
    if not found:
        return supervision.Detections.empty()
    corners = np.array([one.box for one in found], np.float32)
    corners[:, 2:] += corners[:, :2]
    return supervision.Detections(
        xyxy=corners,
        mask=_masks(supervision, found, corners),
        confidence=np.array([one.presence for one in found], np.float32),
        class_id=np.array([numbers[one.concept] for one in found]),
        data={
            "class_name": np.array([one.concept for one in found]),
            "score": np.array([one.score for one in found], np.float32),
        },
    )


def _masks(supervision: Any, found: tuple[ObjectMask, ...], corners: np.ndarray) -> Any:
    """Return the masks in supervision's compact form, which takes no (n, H, W) pixels, or full-size in older ones."""
    compact: Any = getattr(supervision, "CompactMask", None)
    if hasattr(compact, "from_coco_rle"):
        inner = corners - np.array([0, 0, 1, 1], np.float32)  # its corners are pixels, the last one included
        return compact.from_coco_rle([one.rle() for one in found], inner, found[0].image_size[::-1])
    return np.stack([one.mask for one in found])


def _library() -> Any:
    try:
        import supervision
    except ImportError as error:
        raise MissingLibraryError(
            "to_supervision() needs supervision: pip install 'cgsam-edge[labels]', or pip install supervision."
        ) from error
    return supervision
