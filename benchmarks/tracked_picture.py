"""The moving picture of the guide to tracks: a rendered clip, its masks smoothed, its objects numbered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from PIL import Image

from cgsam_edge.quality.scenes import render_clip
from cgsam_edge.quality.scenes.clips import RATE

if TYPE_CHECKING:
    from pathlib import Path

    from cgsam_edge.segmenter import Segmenter

SERIES, CLIP = 1, 4
"""Held out. The clip was chosen because things in it move, hide and return; the model finds most of them."""

CONCEPTS = ("car", "pedestrian", "bicyclist")
FRAMES, SIDE, SHOWN = 60, 512, 400
SMOOTH = 0.5
QUALITY = 60
"""Of the WebP file, from 0 to 100."""


def write(segmenter: Segmenter, path: Path) -> None:
    """Write the clip as an animated WebP file that repeats."""
    first, *others = pictures(segmenter)
    pause = round(1000 / RATE)
    first.save(path, "WEBP", save_all=True, append_images=others, duration=pause, loop=0, quality=QUALITY, method=6)


def pictures(segmenter: Segmenter) -> Iterator[Image.Image]:
    """Yield the frames: the overlay without its legend, made smaller."""
    images = [one.image for one in render_clip(SERIES, CLIP, FRAMES, SIDE, SIDE)]
    with closing(segmenter.stream_images(images, CONCEPTS, track=True, smooth=SMOOTH)) as streamed:
        for _, result in streamed:
            overlay = result.overlay(opacity=0.5).crop((0, 0, SIDE, SIDE))
            yield overlay.resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
