"""Tracked objects in an overlay: each number has a shade of its concept's colour, the same in every frame."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ImageDraw, ImageFont

from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from cgsam_edge.results import Result
    from cgsam_edge.tracked import TrackedObject

    Colour = tuple[int, int, int]

_SPREAD = 0.11
"""Share of the colour wheel over which the shades of a concept lie."""

_STEPS = (0.618034, 0.754878)
"""Steps around the wheel and in brightness, which keep successive numbers apart."""


def shades(result: Result, colours: list[Colour]) -> list[Colour]:
    """Return the colour of each of `Result.tracks`, from the colours of the result's concepts."""
    of = dict(zip(result, colours, strict=True))
    return [shade(of[one.object.concept], one.id) for one in result.tracks]


def shade(colour: Colour, number: int) -> Colour:
    """Return the shade of a concept's RGB colour that a number has."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(one / 255 for one in colour))
    hue += (number * _STEPS[0] % 1 - 0.5) * _SPREAD
    value *= 0.65 + 0.35 * (number * _STEPS[1] % 1)
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def mark(result: Result, codes: NDArray[np.unsignedinteger[Any]]) -> None:
    """Change the codes (H, W) of tracked objects: from their concept's, counted from 1, to those after all concepts.

    Pixels that another concept has in the picture stay as they are.
    """
    numbers = {name: number for number, name in enumerate(result, 1)}
    for number, one in enumerate(result.tracks, len(result) + 1):
        x, y, width, height = one.object.box
        part = codes[y : y + height, x : x + width]
        part[one.object.box_mask() & (part == numbers[one.object.concept])] = number


def draw_numbers(picture: Image.Image, result: Result) -> None:
    """Write each tracked object's number where the object is widest."""
    size = max(10, min(result.image.size) // 28)
    font, draw = ImageFont.load_default(size), ImageDraw.Draw(picture)
    for one in result.tracks:
        place = _widest(one)
        draw.text(
            place,
            str(one.id),
            font=font,
            fill="white",
            stroke_width=max(1, size // 8),
            stroke_fill="black",
            anchor="mm",
        )


def _widest(one: TrackedObject) -> tuple[float, float]:
    """Return the pixel of an object that lies furthest from its edge."""
    inside = np.pad(one.object.box_mask().view(np.uint8), 1)
    with NATIVE_CALL:
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return one.object.box[0] + float(column) - 0.5, one.object.box[1] + float(row) - 0.5
