"""Small labelled pictures, with masks known from outside the code under test."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco

from cgsam_edge.datasets import LabelledObject, LabelledPicture

CONCEPTS = ("car", "traffic light", "road")
WIDTH, HEIGHT = 120, 80


def disc(x: int, y: int, radius: int) -> np.ndarray:
    """Bool (80, 120)."""
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(canvas, (x, y), radius, 1, -1)
    return np.asarray(canvas, bool)


def ring() -> np.ndarray:
    """A disc with a hole beside its middle, which no list of plain polygons can hold."""
    return np.asarray(disc(80, 40, 30) & ~disc(71, 44, 12))


def box() -> np.ndarray:
    canvas = np.zeros((HEIGHT, WIDTH), bool)
    canvas[10:30, 5:40] = True
    return canvas


def labelled_object(concept: str, mask: np.ndarray) -> LabelledObject:
    """An object whose RLE, area and box are pycocotools'."""
    rle = coco.encode(np.asfortranarray(mask).view(np.uint8))
    left, top, width, height = (int(side) for side in coco.toBbox(rle))
    packed = {"size": list(rle["size"]), "counts": rle["counts"].decode()}
    return LabelledObject(concept, packed, (left, top, width, height), int(coco.area(rle)), 0.75, 0.5)


def picture(name: str, masks: dict[str, np.ndarray], split: str | None = None) -> LabelledPicture:
    found = tuple(labelled_object(concept, mask) for concept, mask in masks.items())
    return LabelledPicture(name, WIDTH, HEIGHT, found, split)


def pictures() -> list[LabelledPicture]:
    """Three pictures: objects with and without a hole, one in a folder, and one without objects."""
    return [
        picture("a.png", {"car": box(), "road": ring()}, "train"),
        picture("street/b.png", {"traffic light": disc(60, 40, 20)}, "val"),
        picture("c.png", {}, "train"),
    ]


def draw_images(folder: Path) -> Path:
    """Write the pictures themselves."""
    for one in pictures():
        path = folder / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), (40, 90, 160), np.uint8)).save(path)
    return folder
