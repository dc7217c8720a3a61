"""From similarity to prompts, and from a caller's prompts to the decoder's slots.

One implementation in numpy for every engine; `docs/bundle.md` specifies it for other languages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import PromptError
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from cgsam_edge.manifest import Geometry, Prompting

LABEL_UNUSED = -2.0
LABEL_NOT_A_POINT = -1.0
LABEL_BOX_START = 2.0
LABEL_BOX_END = 3.0
EXTRA_SLOTS = 3
"""Slots of the decoder in addition to those for clicks: two corners of a box, and one "not a point"."""
_COORDINATES = 2
_CORNERS = 4


def similarity_map(similarity: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Min-max normalise patch similarities (g, g) and interpolate to (size, size), in [0, 1].

    A constant similarity gives a map of zeros, because the formula is undefined for it.
    """
    low, high = similarity.min(), similarity.max()
    if not high > low:
        return np.zeros((size, size), np.float32)
    return resize(((similarity - low) / (high - low)).astype(np.float32), size, size)


def resize(image: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Interpolate (h, w) to (height, width): bilinear, pixel centres aligned, no antialiasing, like torch's default."""
    with NATIVE_CALL:
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def dense_prompt(full_map: NDArray[np.float32], geometry: Geometry, prompting: Prompting) -> NDArray[np.float32]:
    """Return the dense prompt (1, 1, m, m): the map interpolated again, and set where it exceeds the threshold."""
    small = resize(full_map, geometry.mask_size, geometry.mask_size)
    dense: NDArray[np.float32] = np.where(small > prompting.threshold, np.float32(prompting.dense_value), np.float32(0))
    return dense[None, None]


def priority(index: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return each pixel's fixed pseudo-random priority: SplitMix64's output for its index, y · size + x."""
    with np.errstate(over="ignore"):
        z = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    out: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return out


def text_points(full_map: NDArray[np.float32], prompting: Prompting, draw: int = 0) -> NDArray[np.float32]:
    """Draw the points of text-only mode: (K, 2) as (x, y) in the map's pixels.

    Among the pixels above the threshold, the K with the highest priority are taken, so that one candidate more or less
    does not move the others. If there are fewer than K candidates, the highest values of the map are taken.

    Args:
        full_map: (s, s).
        prompting: the model's prompting.
        draw: 0 for the points that a runtime takes; others are as random and independent of them.
    """
    flat = full_map.ravel()
    candidates = np.flatnonzero(flat > prompting.threshold)
    if len(candidates) < prompting.points:
        candidates = np.argsort(-flat, kind="stable")[: prompting.points]
    priorities = priority(candidates.astype(np.uint64) + np.uint64(draw << 32))
    highest = np.argpartition(priorities, -prompting.points)[-prompting.points :]  # sorting all would take milliseconds
    chosen = candidates[highest[np.argsort(priorities[highest])[::-1]]]
    return np.stack([chosen % full_map.shape[1], chosen // full_map.shape[1]], axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Clicks:
    """A caller's prompt after checking, in the pixels of the caller's image.

    Attributes:
        points: float32 (N, 2) as (x, y).
        labels: float32 (N,), 1 inside and 0 outside.
        box: float32 (4,) as (x0, y0, x1, y1), or None.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.float32]
    box: NDArray[np.float32] | None = None


def check_clicks(
    points: ArrayLike | None, labels: ArrayLike | None, box: ArrayLike | None, size: tuple[int, int], slots: int
) -> Clicks:
    """Check a caller's prompt.

    Args:
        points: (N, 2) as (x, y) in the image's pixels, or None.
        labels: (N,), 1 inside and 0 outside; None means all inside.
        box: (4,) as (x0, y0, x1, y1) in the image's pixels, or None.
        size: width and height of the image.
        slots: largest number of clicks.

    Raises:
        PromptError: shapes, labels or numbers are wrong, a coordinate is outside the image, or there are too
            many points.
    """
    array = _numbers([] if points is None else points, "points")
    array = array.reshape(0, 2) if array.size == 0 else array
    if array.ndim != _COORDINATES or array.shape[1] != _COORDINATES:
        raise PromptError(f"points must have shape (N, 2) as (x, y), got {array.shape}.")
    if len(array) > slots:
        raise PromptError(
            f"{len(array)} points, but the bundle has {amount(slots, 'slot')} for clicks. Give fewer, or export the "
            f"bundle again with --prompt-slots {len(array)}."
        )
    _check_inside(array, size, "point")
    return Clicks(array, _check_labels(labels, len(array)), _check_box(box, size))


def _numbers(value: ArrayLike, name: str) -> NDArray[np.float32]:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{name} must be numbers, got {value!r:.80}.") from error
    if not np.isfinite(array).all():
        raise PromptError(f"{name} must be finite, got NaN or infinity.")
    return array.astype(np.float32)


def _check_labels(labels: ArrayLike | None, count: int) -> NDArray[np.float32]:
    array = np.ones(count, np.float32) if labels is None else _numbers(labels, "labels").reshape(-1)
    if len(array) != count:
        raise PromptError(f"there must be one label for each point: expected {count}, got {len(array)}.")
    if not np.isin(array, (0, 1)).all():
        raise PromptError(f"labels must be 1 (inside) or 0 (outside), got {sorted(set(array.tolist()))}.")
    return array


def _check_box(box: ArrayLike | None, size: tuple[int, int]) -> NDArray[np.float32] | None:
    if box is None:
        return None
    array = _numbers(box, "box")
    if array.shape != (_CORNERS,):
        raise PromptError(f"box must have shape (4,) as (x0, y0, x1, y1), got {array.shape}.")
    _check_inside(array.reshape(2, 2), size, "box corner")
    if not (array[:2] < array[2:]).all():
        raise PromptError(f"box must have x0 < x1 and y0 < y1, got {array.tolist()}.")
    return array


def _check_inside(points: NDArray[np.float32], size: tuple[int, int], name: str) -> None:
    outside = ((points < 0) | (points > np.asarray(size))).any(axis=1)
    if outside.any():
        x, y = points[outside][0].tolist()
        raise PromptError(f"{name} ({x:g}, {y:g}) is outside the image of {size[0]}x{size[1]} pixels.")


def fill_slots(
    clicks: Clicks, size: tuple[int, int], geometry: Geometry, prompting: Prompting
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the decoder's points (1, slots, 2) and labels (1, slots), three slots more than for clicks.

    Coordinates become (x · S / W, y · S / H), neither rounded nor shifted. As in segment_anything, clicks without a box
    get one "not a point" token, and a box has none; other slots are unused.
    """
    slots = prompting.click_slots + EXTRA_SLOTS
    points = np.zeros((1, slots, 2), np.float32)
    labels = np.full((1, slots), LABEL_UNUSED, np.float32)
    scale = np.asarray([geometry.image_size / size[0], geometry.image_size / size[1]])
    count = len(clicks.points)
    points[0, :count] = clicks.points * scale
    labels[0, :count] = clicks.labels
    if clicks.box is None:
        labels[0, -1] = LABEL_NOT_A_POINT
    else:
        points[0, -3:-1] = clicks.box.reshape(2, 2) * scale
        labels[0, -3:-1] = (LABEL_BOX_START, LABEL_BOX_END)
    return points, labels


@dataclass(frozen=True, eq=False)
class DecoderPrompt:
    """The decoder's inputs in addition to an image embedding.

    Attributes:
        points: float32 (1, slots, 2) as (x, y) in the model's pixels.
        labels: float32 (1, slots).
        dense: float32 (1, 1, m, m), the dense prompt.
        clicks: the prompt behind the points, in the caller's pixels.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.float32]
    dense: NDArray[np.float32]
    clicks: Clicks


def decoder_prompt(
    similarity: NDArray[np.float32],
    size: tuple[int, int],
    geometry: Geometry,
    prompting: Prompting,
    clicks: Clicks | None = None,
) -> DecoderPrompt:
    """Compute the decoder's prompt inputs from similarity and clicks.

    Args:
        similarity: similarity of the patches with a concept, (g, g).
        size: width and height of the caller's image.
        geometry: the model's sizes.
        prompting: the model's prompting.
        clicks: the caller's clicks; None draws the points of text-only mode from the similarity map.
    """
    return prompt_from_map(similarity_map(similarity, geometry.image_size), size, geometry, prompting, clicks)


def prompt_from_map(
    full_map: NDArray[np.float32],
    size: tuple[int, int],
    geometry: Geometry,
    prompting: Prompting,
    clicks: Clicks | None = None,
) -> DecoderPrompt:
    """Compute what `decoder_prompt` does, from a similarity map (S, S) that is already normalised, 0 to 1."""
    if clicks is None:
        clicks = drawn_clicks(full_map, size, prompting)
    points, labels = fill_slots(clicks, size, geometry, prompting)
    return DecoderPrompt(points, labels, dense_prompt(full_map, geometry, prompting), clicks)


def drawn_clicks(full_map: NDArray[np.float32], size: tuple[int, int], prompting: Prompting, draw: int = 0) -> Clicks:
    """Draw the points of text-only mode from a map (s, s), scaled to an image of ``size``."""
    points = (text_points(full_map, prompting, draw) * (np.asarray(size) / len(full_map))).astype(np.float32)
    return Clicks(points, np.ones(len(points), np.float32))
