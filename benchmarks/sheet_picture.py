"""The contact sheet of the model's card: held-out scenes that a seeded generator draws, and nobody chooses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.quality.demo import demo_scene
from cgsam_edge.quality.scenes import CONCEPTS

SEED, ACROSS, TILE = 2026, 3, (421, 256)
"""Seed of the draw; scenes in a row; width and height of each, legend included."""


def drawn(series: int, count: int, segmenter: Segmenter) -> Image.Image:
    """Return the overlays of nine of the first ``count`` scenes of a series, with their legends."""
    numbers = np.random.default_rng(SEED).choice(count, ACROSS**2, replace=False).tolist()
    sheet = Image.new("RGB", (ACROSS * TILE[0], ACROSS * TILE[1]))
    for place, number in enumerate(sorted(numbers)):
        overlay = segmenter.segment(demo_scene(series, number).image, CONCEPTS).overlay()
        tile = overlay.convert("RGB").resize(TILE, Image.Resampling.LANCZOS)
        sheet.paste(tile, (place % ACROSS * TILE[0], place // ACROSS * TILE[1]))
    return sheet


def write(series: int, count: int, segmenter: Segmenter, path: Path) -> None:
    """Write the sheet as a WebP file."""
    drawn(series, count, segmenter).save(path, format="WEBP", quality=80)
