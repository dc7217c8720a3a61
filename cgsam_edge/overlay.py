"""Pictures of results."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from cgsam_edge.results import Result

_GOLDEN_ANGLE = 0.381966
"""Steps of the colour wheel by this share keep any number of neighbouring colours apart."""


def palette(count: int) -> list[tuple[int, int, int]]:
    """Return ``count`` well-separated RGB colours, the same every time."""
    colours = (colorsys.hsv_to_rgb(i * _GOLDEN_ANGLE % 1, 0.85, 1 - 0.25 * (i % 2)) for i in range(count))
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in colours]


def draw_overlay(result: Result, opacity: float) -> Image.Image:
    """Return the image with each concept's pixels tinted, outlined, its clicks and box marked, and a legend."""
    canvas = np.asarray(result.image).copy()
    labels = result.label_map()
    colours = palette(len(result))
    thickness = max(1, round(max(canvas.shape[:2]) / 500))
    for index, colour in enumerate(colours):
        inside = labels == index
        canvas[inside] = np.round((1 - opacity) * canvas[inside] + opacity * np.asarray(colour)).astype(np.uint8)
        contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(canvas, contours, -1, colour, thickness)
    picture = Image.fromarray(canvas)
    _draw_prompts(picture, result, colours)
    _draw_legend(picture, result, colours, labels.size)
    return picture


def _draw_prompts(picture: Image.Image, result: Result, colours: list[tuple[int, int, int]]) -> None:
    draw = ImageDraw.Draw(picture)
    radius = max(2, max(picture.size) // 200)
    for concept, colour in zip(result.values(), colours, strict=True):
        for (x, y), label in zip(concept.points.tolist(), concept.labels.tolist(), strict=True):
            ring = "white" if label else "black"
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=ring, width=1)
        if concept.box is not None:
            draw.rectangle(concept.box.tolist(), outline=colour, width=max(1, radius // 2))


def _draw_legend(picture: Image.Image, result: Result, colours: list[tuple[int, int, int]], pixels: int) -> None:
    size = max(11, min(picture.size) // 32)
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(picture, "RGBA")
    lines = [f"{c.name}  {100 * c.mask.sum() / pixels:.0f} %  IoU {c.score:.2f}" for c in result.values()]
    if not lines:
        return
    width = max(draw.textlength(line, font=font) for line in lines) + 2.2 * size
    draw.rectangle((0, 0, width, (len(lines) + 0.4) * 1.3 * size), fill=(0, 0, 0, 160))
    for i, (line, colour) in enumerate(zip(lines, colours, strict=True)):
        top = (i + 0.2) * 1.3 * size
        draw.rectangle((0.4 * size, top + 0.15 * size, 1.3 * size, top + 1.05 * size), fill=colour)
        draw.text((1.7 * size, top), line, font=font, fill="white")
