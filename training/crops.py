"""Crops of labelled frames: in whole frames of a street every concept may occur, in parts of them many do not."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDES = 0.25, 0.6
"""Least and greatest share of a frame's sides that a crop covers."""


def write_crops(source: Path, destination: Path, count: int, seed: int) -> None:
    """Write crops of a folder's frames and of their labels, at places that depend on the seed alone.

    Args:
        source: holds ``images/`` and, of the same names, the index pictures ``labels/*.png``.
        destination: gets the same two folders, all as PNG.
        count: crops of each frame.
        seed: of the places.
    """
    for folder in ("images", "labels"):
        (destination / folder).mkdir(parents=True, exist_ok=True)
    drawn = np.random.default_rng(seed)
    for path in sorted((source / "images").iterdir()):
        with Image.open(path) as image, Image.open(source / "labels" / f"{path.stem}.png") as labels:
            for number in range(count):
                window = _window(drawn, image.size)
                name = f"{path.stem}_{number}.png"
                image.crop(window).save(destination / "images" / name)
                labels.crop(window).save(destination / "labels" / name)


def _window(drawn: np.random.Generator, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Draw left, top, right and bottom of a crop of a picture's proportions."""
    share = drawn.uniform(*SIDES)
    width, height = (max(2, round(share * side)) for side in size)
    left, top = (int(drawn.integers(0, side - part + 1)) for side, part in zip(size, (width, height), strict=True))
    return left, top, left + width, top + height
