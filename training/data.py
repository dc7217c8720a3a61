"""Labelled pictures, their augmentation, and batches that depend on nothing but the seed and the step."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cgsam_edge.quality.scenes import CONCEPTS, IGNORE
from training.cache import Labelled

PRESENT_PIXELS = 100
"""A concept counts as present above this many labelled pixels."""


@dataclass(frozen=True)
class Batch:
    """Pictures for one step.

    Attributes:
        images: (B, S, S, 3) uint8 RGB.
        labels: (B, S, S) int64 concept indices, ``IGNORE`` where unlabelled.
    """

    images: Tensor
    labels: Tensor

    def present(self) -> NDArray[np.bool_]:
        """Return which concepts are in which picture, (B, concepts)."""
        flat = self.labels.flatten(1).cpu().numpy()
        counts = np.stack([np.bincount(row, minlength=len(CONCEPTS) + 1) for row in flat])
        return np.asarray(counts[:, : len(CONCEPTS)] > PRESENT_PIXELS)


def read_folder(folder: Path) -> Labelled:
    """Read ``images/*`` and the index pictures ``labels/*.png`` of the same names, all of one size.

    Raises:
        ValueError: there are none, or a picture and its labels differ in size.
    """
    images, labels = [], []
    for path in sorted((folder / "images").iterdir()):
        image, label = (
            cv2.imread(str(path)),
            cv2.imread(str(folder / "labels" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED),
        )
        if image is None or label is None or image.shape[:2] != label.shape:
            raise ValueError(f"{path}: expected a picture with labels of its size in {folder / 'labels'}")
        images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        labels.append(label)
    if not images:
        raise ValueError(f"{folder}: holds no pictures")
    return Labelled(np.stack(images).astype(np.uint8), np.stack(labels).astype(np.uint8))


def augment(
    rng: np.random.Generator, image: NDArray[np.uint8], label: NDArray[np.uint8], size: int, zoom: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut a random window, squash it to ``size``, mirror it, and change its colours.

    A window is half to all of the picture wide, divided by ``zoom``.
    """
    height, width = label.shape
    share = (rng.uniform(0.5, 1.0) if rng.random() < 0.7 else 1.0) / zoom
    stretch = rng.uniform(0.8, 1.25) if share < 1 else 1.0
    h, w = (int(min(1.0, share * f) * side) for f, side in ((stretch**0.5, height), (stretch**-0.5, width)))
    y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    method = cv2.INTER_AREA if h > size else cv2.INTER_LINEAR
    cut = cv2.resize(np.ascontiguousarray(image[y : y + h, x : x + w]), (size, size), interpolation=method)
    marks = cv2.resize(np.ascontiguousarray(label[y : y + h, x : x + w]), (size, size), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        cut, marks = cut[:, ::-1], marks[:, ::-1]
    return _recolour(rng, np.ascontiguousarray(cut).astype(np.uint8)), np.ascontiguousarray(marks).astype(np.uint8)


def _recolour(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Change exposure, gamma and white balance; sometimes blur or desaturate."""
    ramp = np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.7, 1.4)
    table = np.clip(
        255 * (ramp * rng.uniform(0.8, 1.2) * rng.uniform(0.92, 1.08, (1, 3)) + rng.uniform(-0.06, 0.06)), 0, 255
    )
    out = cv2.LUT(image, table.reshape(256, 1, 3).astype(np.uint8))
    if rng.random() < 0.3:
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        out = cv2.addWeighted(out, keep := rng.uniform(0.2, 1.0), grey, 1 - keep, 0)
    if rng.random() < 0.15:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 1.5))
    picture: NDArray[np.uint8] = out.astype(np.uint8)
    return picture


class Sampler:
    """Draws batches from several sets.

    Args:
        sets: labelled pictures.
        shares: how often each set is drawn from, summing to 1.
        size: side of the pictures in pixels, unless a batch asks for another.
        seed: batches depend on it and on the step alone, so a resumed run sees what an unbroken one would.
    """

    def __init__(self, sets: list[Labelled], shares: list[float], size: int, seed: int) -> None:
        self.sets, self.shares, self.size, self.seed = sets, shares, size, seed

    def batch(self, step: int, count: int, size: int | None = None, zoom: float = 1.0) -> Batch:
        """Return the batch of one step, of pictures of another side and from nearer if asked for."""
        rng = np.random.default_rng((self.seed, step, 1))
        pictures, marks = [], []
        for which in rng.choice(len(self.sets), count, p=self.shares):
            chosen = self.sets[which]
            index = int(rng.integers(len(chosen)))
            image, label = augment(rng, chosen.images[index], chosen.labels[index], size or self.size, zoom)
            pictures.append(image)
            marks.append(np.minimum(label, IGNORE))
        return Batch(torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(marks)).long())


def draw_concepts(rng: np.random.Generator, present: NDArray[np.bool_], count: int, absent: float) -> NDArray[np.int64]:
    """Draw concepts (B, count) for pictures with ``present`` (B, concepts); a share of them is absent.

    Present concepts come without replacement as long as there are enough, small and rare ones more often.
    """
    rows = []
    for here in present:
        weights = np.where(here, RARITY, 0.0)
        missing = rng.random(count) < absent
        pool = np.flatnonzero(here)
        if not len(pool):
            rows.append(rng.integers(0, len(CONCEPTS), count))
            continue
        row = rng.choice(len(CONCEPTS), count, p=weights / weights.sum(), replace=len(pool) < count)
        gone = np.flatnonzero(~here)
        rows.append(np.where(missing & (len(gone) > 0), rng.choice(gone, count) if len(gone) else row, row))
    return np.stack(rows)


RARITY = np.array([0.7, 1.0, 1.4, 0.8, 1.0, 1.0, 1.4, 1.3, 1.1, 1.3, 1.3])
"""How often each concept is asked for when present: more often where it is hard or small."""
