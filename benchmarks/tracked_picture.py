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

SERIES, CLIP = 1, 6
"""Held out, and chosen for its many cars, which the model finds better than people; it is no average."""

CONCEPTS = ("car",)
FRAMES, SIDE, SHOWN = 48, 512, 400
SMOOTH = 0.5
QUALITY = 60
"""Of the WebP file, from 0 to 100."""


def write(segmenter: Segmenter, path: Path) -> None:
    """Write the clip as an animated WebP file that repeats."""
    first, *others = pictures(segmenter, FRAMES)
    pause = round(1000 / RATE)
    first.save(path, "WEBP", save_all=True, append_images=others, duration=pause, loop=0, quality=QUALITY, method=6)


def pictures(segmenter: Segmenter, count: int) -> Iterator[Image.Image]:
    """Yield the first frames: the overlay without its legend, made smaller."""
    images = [one.image for one in render_clip(SERIES, CLIP, count, SIDE, SIDE)]
    with closing(segmenter.stream_images(images, CONCEPTS, track=True, smooth=SMOOTH)) as streamed:
        for _, result in streamed:
            overlay = result.overlay(opacity=0.5).crop((0, 0, SIDE, SIDE))
            yield overlay.resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
