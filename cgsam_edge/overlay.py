"""Pictures of results."""

from __future__ import annotations

import colorsys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from cgsam_edge.legend import Legend, rows
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2
from cgsam_edge.overlay_tracks import draw_numbers, mark, shades
from cgsam_edge.strips import strip_edges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.results import Result

_GOLDEN_ANGLE = 0.381966
"""Stepping around the colour wheel by this share keeps any number of colours apart."""


def palette(count: int) -> list[tuple[int, int, int]]:
    """Return ``count`` well-separated RGB colours, always the same ones."""
    colours = (colorsys.hsv_to_rgb(i * _GOLDEN_ANGLE % 1, 0.85, 1 - 0.25 * (i % 2)) for i in range(count))
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in colours]


def draw_overlay(result: Result, opacity: float) -> Image.Image:
    """Return the image with each concept tinted and outlined, its prompts marked, and a legend on the right.

    Tracked objects have a shade of their concept's colour, and their number. A concept that is not present is listed at
    the end of the legend, in grey, and is not drawn. The picture is painted strip by strip: apart from the picture
    itself, only two maps of its size exist, with one or two bytes a pixel.
    """
    colours, (width, height) = palette(len(result)), result.image.size
    codes, all_colours = _codes(result), [*colours, *shades(result, colours)]
    legend = Legend(rows(list(result.values()), colours), (width, height)) if len(result) else None
    wide = Image.new("RGB", (width + (legend.width if legend else 0), height))
    for left, right in pairwise(strip_edges(width, height)):
        part = np.asarray(result.image.crop((left, 0, right, height)))
        wide.paste(Image.fromarray(_painted(part, codes[:, left:right], all_colours, opacity)), (left, 0))
    _draw_prompts(wide, result, colours)
    draw_numbers(wide, result)
    if legend is not None:
        legend.draw(wide)
    return wide


def _codes(result: Result) -> NDArray[np.unsignedinteger[Any]]:
    """Return how each pixel (H, W) is painted: 0 unchanged, i + 1 with tint i, n + i + 1 with its outline.

    Tints are those of the n concepts and tracked objects, in this order.
    """
    count, (width, height) = len(result) + len(result.tracks), result.image.size
    kind = np.uint8 if 2 * count < 2**8 else np.uint16
    codes = np.empty((height, width), kind)
    for columns, strip in result.label_strips():
        codes[:, columns] = strip + 1
    mark(result, codes)
    outlines = _outlines(result, codes)
    for left, right in pairwise(strip_edges(width, height)):
        lines = outlines[:, left:right]
        np.copyto(codes[:, left:right], lines + count, where=lines > 0, casting="unsafe")
    return codes


def _outlines(result: Result, codes: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """Return each pixel's outline: the number of its tint plus one, or 0, in the type of ``codes`` (H, W)."""
    outlines = np.zeros_like(codes)
    thickness = max(1, round(max(codes.shape) / 500))
    drawn = [*(concept.present for concept in result.values()), *(True for _ in result.tracks)]
    for index, is_drawn in enumerate(drawn, 1):
        if is_drawn:
            inside = (codes == index).view(np.uint8)
            with NATIVE_CALL:
                contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
                cv2.drawContours(outlines, contours, -1, index, thickness)
    return outlines


def _painted(
    image: NDArray[np.uint8],
    codes: NDArray[np.unsignedinteger[Any]],
    colours: list[tuple[int, int, int]],
    opacity: float,
) -> NDArray[np.uint8]:
    """Return an RGB image (h, w, 3) with tints laid over it and outlines drawn, as `_codes` says."""
    table = np.array([(0, 0, 0), *colours, *colours], np.uint8)
    colour, codes = table[codes], codes[..., None]
    with NATIVE_CALL:
        tinted = cv2.addWeighted(image, 1 - opacity, colour, opacity, 0)
    painted = np.where(codes > len(colours), colour, np.where(codes > 0, tinted, image))
    return np.asarray(painted, dtype=np.uint8)


def _draw_prompts(picture: Image.Image, result: Result, colours: list[tuple[int, int, int]]) -> None:
    draw = ImageDraw.Draw(picture)
    radius = max(1.5, max(result.image.size) / 320)
    for concept, colour in zip(result.values(), colours, strict=True):
        if not concept.present:
            continue
        for (x, y), label in zip(concept.points.tolist(), concept.labels.tolist(), strict=True):
            inner, outer = ("white", "black") if label else ("black", "white")
            draw.ellipse((x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1), fill=outer)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=inner)
        if concept.box is not None:
            draw.rectangle(concept.box.tolist(), outline=colour, width=max(1, round(radius)))
