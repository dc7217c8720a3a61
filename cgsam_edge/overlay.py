"""Pictures of results."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.results import ConceptResult, Result

_GOLDEN_ANGLE = 0.381966
"""Steps of the colour wheel by this share keep any number of neighbouring colours apart."""


_WIDEST = "{}  100 %  IoU −0.00"
"""No line of a legend is longer."""


def palette(count: int) -> list[tuple[int, int, int]]:
    """Return ``count`` well-separated RGB colours, the same every time."""
    colours = (colorsys.hsv_to_rgb(i * _GOLDEN_ANGLE % 1, 0.85, 1 - 0.25 * (i % 2)) for i in range(count))
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in colours]


def draw_overlay(result: Result, opacity: float) -> Image.Image:
    """Return the image with each concept tinted and outlined, its prompts marked, and a legend at the right.

    A concept that is not present is named as absent in the legend, and not drawn.
    """
    labels = result.label_map()
    colours = palette(len(result))
    canvas = _tinted(np.asarray(result.image), labels, colours, opacity)
    thickness = max(1, round(max(canvas.shape[:2]) / 500))
    for index, (concept, colour) in enumerate(zip(result.values(), colours, strict=True)):
        if not concept.present:
            continue
        inside = (labels == index).view(np.uint8)
        contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(canvas, contours, -1, colour, thickness)
    picture = Image.fromarray(canvas)
    _draw_prompts(picture, result, colours)
    return _with_legend(picture, result, colours)


def _tinted(
    image: NDArray[np.uint8], labels: NDArray[np.int32], colours: list[tuple[int, int, int]], opacity: float
) -> NDArray[np.uint8]:
    """Return the RGB image with the colour of each pixel's label laid over it."""
    table = np.array([*colours, (0, 0, 0)], np.uint8)  # the last is found by -1
    tinted = cv2.addWeighted(image, 1 - opacity, table[labels], opacity, 0)
    return np.asarray(np.where(labels[..., None] >= 0, tinted, image), dtype=np.uint8)


def _draw_prompts(picture: Image.Image, result: Result, colours: list[tuple[int, int, int]]) -> None:
    draw = ImageDraw.Draw(picture)
    radius = max(2, max(picture.size) // 200)
    for concept, colour in zip(result.values(), colours, strict=True):
        if not concept.present:
            continue
        for (x, y), label in zip(concept.points.tolist(), concept.labels.tolist(), strict=True):
            ring = "white" if label else "black"
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=ring, width=1)
        if concept.box is not None:
            draw.rectangle(concept.box.tolist(), outline=colour, width=max(1, radius // 2))


def _line(concept: ConceptResult) -> str:
    if not concept.present:
        return f"{concept.name}  absent"
    return f"{concept.name}  {100 * concept.mask.mean():.0f} %  IoU {concept.score:.2f}"


def _with_legend(picture: Image.Image, result: Result, colours: list[tuple[int, int, int]]) -> Image.Image:
    """Return the picture with a strip at its right that names each colour, the mask's share and predicted IoU."""
    lines = [_line(concept) for concept in result.values()]
    if not lines:
        return picture
    size = max(8, min(min(picture.size) // 30, int(picture.height / (1.3 * len(lines) + 1))))
    font = ImageFont.load_default(size)
    longest = max(font.getlength(_WIDEST.format(concept.name)) for concept in result.values())
    width = round(longest + 2.5 * size)  # the same for each frame of a video, whatever was found there
    wide = Image.new("RGB", (picture.width + width, picture.height), (24, 24, 24))
    wide.paste(picture)
    draw = ImageDraw.Draw(wide)
    for i, (line, colour) in enumerate(zip(lines, colours, strict=True)):
        left, top = picture.width + 0.5 * size, (i + 0.4) * 1.3 * size
        draw.rectangle((left, top + 0.15 * size, left + 0.9 * size, top + 1.05 * size), fill=colour)
        draw.text((left + 1.3 * size, top), line, font=font, fill="white")
    return wide
