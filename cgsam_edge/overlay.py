"""Pictures of results."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw

from cgsam_edge.legend import rows, with_legend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.results import Result

_GOLDEN_ANGLE = 0.381966
"""Steps of the colour wheel by this share keep any number of neighbouring colours apart."""


def palette(count: int) -> list[tuple[int, int, int]]:
    """Return ``count`` well-separated RGB colours, the same every time."""
    colours = (colorsys.hsv_to_rgb(i * _GOLDEN_ANGLE % 1, 0.85, 1 - 0.25 * (i % 2)) for i in range(count))
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in colours]


def draw_overlay(result: Result, opacity: float) -> Image.Image:
    """Return the image with each concept tinted and outlined, its prompts marked, and a legend at the right.

    A concept that is not present stands at the end of the legend, in grey, and is not drawn.
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
    return with_legend(picture, rows(list(result.values()), colours))


def _tinted(
    image: NDArray[np.uint8], labels: NDArray[np.int32], colours: list[tuple[int, int, int]], opacity: float
) -> NDArray[np.uint8]:
    """Return the RGB image with the colour of each pixel's label laid over it."""
    table = np.array([*colours, (0, 0, 0)], np.uint8)  # the last is found by -1
    tinted = cv2.addWeighted(image, 1 - opacity, table[labels], opacity, 0)
    return np.asarray(np.where(labels[..., None] >= 0, tinted, image), dtype=np.uint8)


def _draw_prompts(picture: Image.Image, result: Result, colours: list[tuple[int, int, int]]) -> None:
    draw = ImageDraw.Draw(picture)
    radius = max(1.5, max(picture.size) / 320)
    for concept, colour in zip(result.values(), colours, strict=True):
        if not concept.present:
            continue
        for (x, y), label in zip(concept.points.tolist(), concept.labels.tolist(), strict=True):
            inner, outer = ("white", "black") if label else ("black", "white")
            draw.ellipse((x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1), fill=outer)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=inner)
        if concept.box is not None:
            draw.rectangle(concept.box.tolist(), outline=colour, width=max(1, round(radius)))
