"""Labelled pictures on the device, and batches of them that depend on the seed and the step alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cgsam_edge.quality.scenes import CONCEPTS, IGNORE
from training.augment import PLAIN, Look, cut, recolour, transfer, windows
from training.cache import Labelled

PRESENT_PIXELS = 100
"""A concept counts as present above this many labelled pixels."""

AT_ONCE = 256
"""Pictures that are copied to the device at once: a copy of all would need the memory twice."""

RARITY_LIMITS = 0.5, 3.0
"""Least and greatest frequency of a concept in prompts, as a multiple of the mean."""


@dataclass(frozen=True)
class Batch:
    """Pictures for one step.

    Attributes:
        pixels: (B, 3, S, S) float32 RGB, 0 to 1.
        labels: (B, S, S) int64 concept indices, ``IGNORE`` where unlabelled.
    """

    pixels: Tensor
    labels: Tensor

    def present(self) -> Tensor:
        """Return which concepts are in which picture, bool (B, concepts)."""
        return counts(self.labels) > PRESENT_PIXELS


def counts(labels: Tensor) -> Tensor:
    """Return how many pixels each concept covers: labels (B, H, W) to float32 (B, concepts)."""
    flat = labels.flatten(1).long().clamp(max=IGNORE)
    total = torch.zeros(len(flat), IGNORE + 1, device=labels.device)
    total.scatter_add_(1, flat, torch.ones((), device=labels.device).expand_as(flat))
    return total[:, : len(CONCEPTS)]


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


class Pictures:
    """Labelled pictures of one size, as bytes on a device; more can be added while training runs.

    Args:
        room: largest number of pictures.
        height, width: pixels of each.
        device: where they live.
    """

    def __init__(self, room: int, height: int, width: int, device: torch.device) -> None:
        self.images = torch.zeros(room, 3, height, width, dtype=torch.uint8, device=device)
        self.labels = torch.zeros(room, height, width, dtype=torch.uint8, device=device)
        self.count = 0

    @classmethod
    def of(cls, labelled: Labelled, device: torch.device) -> "Pictures":
        """Copy pictures to a device."""
        height, width = labelled.labels.shape[1:]
        made = cls(len(labelled), height, width, device)
        made.add(labelled.images, labelled.labels)
        return made

    def add(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Add pictures (n, H, W, 3) with labels (n, H, W), as many as there is room for."""
        new = min(len(labels), len(self.labels) - self.count)
        for start in range(0, new, AT_ONCE):
            part = slice(start, min(start + AT_ONCE, new))
            place = slice(self.count, self.count + part.stop - part.start)
            pixels = torch.from_numpy(np.array(images[part])).to(self.images.device)
            self.images[place] = pixels.permute(0, 3, 1, 2)
            self.labels[place] = torch.from_numpy(np.array(labels[part])).to(self.labels.device)
            self.count = place.stop

    def __len__(self) -> int:
        """Return the number of pictures so far."""
        return self.count

    @property
    def rarity(self) -> Tensor:
        """How often to draw each concept, about 1: the root of how few pixels it covers, within `RARITY_LIMITS`."""
        covered = sum((counts(part).sum(0) for part in self.labels[: self.count].split(64)), torch.zeros(()))
        weight = (covered / covered.sum() + 1e-4) ** -0.5
        return (weight / weight.mean()).clamp(*RARITY_LIMITS)


@dataclass(frozen=True)
class Source:
    """A set that batches draw from.

    Attributes:
        pictures: the set.
        share: how often it is drawn from; the shares of all sources sum to 1.
        narrowest: least share of a picture's side that a window covers, except for those from near.
        look: how colours change.
        palette: colours that half of its pictures take over, see `training.augment.transfer`; None for no change.
    """

    pictures: Pictures
    share: float = 1.0
    narrowest: float = 0.5
    look: Look = PLAIN
    palette: Tensor | None = None


class Sampler:
    """Draws batches from several sources.

    Args:
        sources: where pictures come from, all on one device.
        size: side of the pictures in pixels, unless a batch asks for another.
        seed: batches depend on it, on the step and on the pictures that are there, so a resumed run sees what an
            unbroken one would.
    """

    def __init__(self, sources: Sequence[Source], size: int, seed: int) -> None:
        self.sources, self.size, self.seed = tuple(sources), size, seed
        self.device = self.sources[0].pictures.images.device

    @torch.no_grad()
    def batch(self, step: int, count: int, size: int | None = None, zoom: float = 1.0) -> Batch:
        """Return the batch of one step, of pictures of another side and from nearer if asked for."""
        generator = generator_of(self.device, self.seed, step, 1)
        numbers = np.random.default_rng((self.seed, step, 1)).multinomial(count, [s.share for s in self.sources])
        parts = [
            _draw(generator, source, int(number), size or self.size, zoom)
            for source, number in zip(self.sources, numbers, strict=True)
            if number
        ]
        return Batch(torch.cat([pixels for pixels, _ in parts]), torch.cat([labels for _, labels in parts]))


def _draw(generator: torch.Generator, source: Source, count: int, size: int, zoom: float) -> tuple[Tensor, Tensor]:
    pictures = source.pictures
    chosen = torch.randint(len(pictures), (count,), generator=generator, device=generator.device)
    maps = windows(generator, count, source.narrowest, zoom)
    pixels, labels = cut(pictures.images[chosen], pictures.labels[chosen], maps, size, zoom)
    if source.palette is not None:
        pixels = transfer(generator, pixels, source.palette, 0.5)
    return recolour(generator, pixels, source.look), labels


def generator_of(device: torch.device, seed: int, step: int, kind: int) -> torch.Generator:
    """Return a generator on a device whose numbers depend only on the seed, the step and their purpose."""
    made = torch.Generator(device=device)
    made.manual_seed(int(np.random.SeedSequence((seed, step, kind)).generate_state(1, np.uint64)[0] >> 1))
    return made


def draw_concepts(generator: torch.Generator, present: Tensor, rarity: Tensor, count: int, absent: float) -> Tensor:
    """Draw concepts int64 (B, count) for pictures with ``present`` bool (B, concepts); a share of them is absent.

    None is drawn twice; where too few are present, absent ones fill the row.

    Args:
        generator: on the device of ``present``.
        present: which concepts are in which picture.
        rarity: how often each is asked for, (concepts,).
        count: concepts per picture.
        absent: chance that a present concept is replaced by an absent one.
    """
    rows = torch.multinomial(present * rarity + 1e-6, count, generator=generator)
    others = torch.multinomial(~present + 1e-6, count, generator=generator)
    swap = torch.rand(rows.shape, generator=generator, device=rows.device) < absent
    usable = swap & ~present.gather(1, others) & ~(others[:, :, None] == rows[:, None]).any(2)
    return torch.where(usable, others, rows)
