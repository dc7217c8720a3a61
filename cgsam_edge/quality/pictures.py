"""Small pictures of masks, side by side, for a self-contained page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2
from cgsam_edge.quality.pairs import extremes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.quality.judge import TargetQuality
    from cgsam_edge.quality.pairs import MaskPair

    Mask = NDArray[np.bool_]
    Pixels = NDArray[np.uint8]

    Masks = Callable[[str, MaskPair], tuple[Image.Image, Mask, Mask]]
    """From a target's name and a pair to the picture (W, H), the reference's and the target's mask, bool (H, W)."""

BLUE, ORANGE = (0, 114, 178), (230, 120, 0)
"""Colours of the reference and the target, distinguishable with any colour vision and on any photo."""

_SIDE = 256
_QUALITIES = (82, 70, 55, 40, 25)
_THIN = 0.15
"""Share of a pixel that must differ to be shown as different; low, so that thin lines stay visible."""

_LEAST_BYTES = 4_000

_LEAST_PART, _MOST_PART, _ROOM = 0.2, 0.75, 1.8
"""Shares of a picture's sides: at least the first is shown, and the whole side instead of more than the second.
The third: size of the shown part relative to the masks."""


@dataclass(frozen=True)
class Figure:
    """A pair's pictures.

    Attributes:
        kind: "worst", "median" or "best".
        pair: the pair shown.
        reference, target, difference: JPEG files as data URIs.
        size: (width, height) of each in pixels.
    """

    kind: str
    pair: MaskPair
    reference: str
    target: str
    difference: str
    size: tuple[int, int]


def figures(targets: Sequence[TargetQuality], masks: Masks, budget: int) -> dict[str, list[Figure]]:
    """Return pictures by target, of about ``budget`` bytes in total at most."""
    chosen = {target.target: extremes(target.counted) for target in targets}
    count = 3 * sum(len(pairs) for pairs in chosen.values())
    most = max(_LEAST_BYTES, budget // max(1, count))
    return {
        name: [_figure(kind, pair, masks(name, pair), most) for kind, pair in pairs] for name, pairs in chosen.items()
    }


def _figure(kind: str, pair: MaskPair, found: tuple[Image.Image, Mask, Mask], most: int) -> Figure:
    picture, expected, got = _window(*found)
    width, height = picture.size
    scale = _SIDE / max(width, height)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    small = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BILINEAR))
    tiles = (
        _tinted(small, _small(expected, size), BLUE),
        _tinted(small, _small(got, size), ORANGE),
        _difference(small, expected, got, size),
    )
    reference, target, difference = (_data_uri(tile, most) for tile in tiles)
    return Figure(kind, pair, reference, target, difference, size)


def _window(picture: Image.Image, expected: Mask, got: Mask) -> tuple[Image.Image, Mask, Mask]:
    """Cut out the surroundings of the masks, because a small object would be invisible in a small picture."""
    rows, columns = (np.flatnonzero((expected | got).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return picture, expected, got
    height, width = expected.shape
    share = max(_LEAST_PART, _ROOM * np.ptp(rows) / height, _ROOM * np.ptp(columns) / width)
    if share > _MOST_PART:
        return picture, expected, got
    (top, bottom), (left, right) = _span(rows, height, share), _span(columns, width, share)
    cut = np.s_[top:bottom, left:right]
    return picture.crop((left, top, right, bottom)), expected[cut], got[cut]


def _span(places: NDArray[np.intp], length: int, share: float) -> tuple[int, int]:
    """Return the beginning and end of a share of an axis, centred on a range as well as possible."""
    wanted = max(1, round(share * length))
    start = (int(places[0]) + int(places[-1]) + 1 - wanted) // 2
    start = min(max(0, start), length - wanted)
    return start, start + wanted


def _small(mask: Mask, size: tuple[int, int], share: float = 0.5) -> Mask:
    """Return a mask at another size (width, height): a pixel is set if more than a share of its area is."""
    with NATIVE_CALL:
        scaled: Mask = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > share
    return scaled


def _tinted(pixels: Pixels, mask: Mask, colour: tuple[int, int, int]) -> Pixels:
    """Return the picture with a coloured mask, a white line around it, and the rest paler."""
    out = (0.75 * pixels + 0.25 * 128).astype(np.uint8)
    out[mask] = (0.35 * pixels[mask] + 0.65 * np.asarray(colour)).astype(np.uint8)
    with NATIVE_CALL:
        wider = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    out[wider & ~mask] = 255  # around the mask: inside, the line would hide masks of a few pixels
    return out


def _difference(pixels: Pixels, expected: Mask, got: Mask, size: tuple[int, int]) -> Pixels:
    """Return the picture in dark grey, lighter where both masks are, in a mask's colour where it alone is."""
    with NATIVE_CALL:
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    out = np.repeat((0.3 * grey).astype(np.uint8)[:, :, None], 3, axis=2)
    out[_small(expected & got, size)] += 95
    for alone, colour in ((expected & ~got, (70, 180, 255)), (got & ~expected, (255, 150, 30))):
        out[_small(alone, size, _THIN)] = colour
    return out


def _data_uri(pixels: Pixels, most: int) -> str:
    """Return a JPEG as a data URI, at the best quality within ``most`` bytes, or else the lowest quality."""
    text = ""
    for quality in _QUALITIES:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, optimize=True)
        text = base64.b64encode(file.getvalue()).decode()
        if len(text) <= most:
            break
    return f"data:image/jpeg;base64,{text}"
