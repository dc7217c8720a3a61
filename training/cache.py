"""Rendered scenes in memory-mapped files, so that training does not wait for the renderer."""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from cgsam_edge.quality.scenes import HARD, PLAIN, Mix, render

CHUNK = 25
"""Number of scenes that one task of the pool renders."""

TRAINING_MIXES = (PLAIN, HARD)
"""Training scenes take turns between these."""


@dataclass(frozen=True)
class Labelled:
    """A set of labelled pictures of one size.

    Attributes:
        images: (n, height, width, 3) uint8 RGB, possibly memory-mapped.
        labels: (n, height, width) uint8 concept indices.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Check that pictures and labels belong together."""
        if self.images.shape != (*self.labels.shape, 3):
            raise ValueError(f"expected images of shape {(*self.labels.shape, 3)}, got {self.images.shape}")

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)


def _files(folder: Path, seed: int, count: int, size: int, mixes: Sequence[Mix]) -> tuple[Path, Path, Path]:
    stem = "_".join([f"scenes_s{seed}_n{count}_{size}", *(mix.name for mix in mixes)])
    return folder / f"{stem}_images.npy", folder / f"{stem}_labels.npy", folder / f"{stem}_done.npy"


def _render_chunk(paths: tuple[Path, Path, Path], seed: int, start: int, mixes: Sequence[Mix]) -> None:
    """Render the scenes from ``start`` on into the files, unless the files hold them already."""
    cv2.setNumThreads(1)
    images, labels, done = (np.load(path, mmap_mode="r+") for path in paths)
    for index in range(start, min(start + CHUNK, len(done))):
        if not done[index]:
            scene = render(seed, index, labels.shape[1], labels.shape[2], mixes[index % len(mixes)])
            images[index], labels[index] = scene.image, scene.labels
            done[index] = True


class Rendering:
    """Renders the first scenes of a series into a folder, in processes that run beside training.

    Args:
        folder: where they are kept; scenes that it holds are not rendered again.
        seed: the series.
        count: how many scenes.
        size: side in pixels.
        workers: processes.
        mixes: of what the scenes hold; they take turns.
    """

    def __init__(
        self, folder: Path, seed: int, count: int, size: int, workers: int, mixes: Sequence[Mix] = (PLAIN,)
    ) -> None:
        paths = _files(folder, seed, count, size, mixes)
        folder.mkdir(parents=True, exist_ok=True)
        if not paths[2].exists():
            open_memmap(paths[0], "w+", np.uint8, (count, size, size, 3)).flush()
            open_memmap(paths[1], "w+", np.uint8, (count, size, size)).flush()
            open_memmap(paths[2], "w+", np.bool_, (count,)).flush()
        self.scenes = Labelled(np.load(paths[0], mmap_mode="r"), np.load(paths[1], mmap_mode="r"))
        self._done = np.load(paths[2], mmap_mode="r")
        self._pool: ProcessPoolExecutor | None = None
        if not self._done.all():
            # a forked child of a process whose engines run threads can hang, so children start afresh
            self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
            starts = range(0, count, CHUNK)
            self._tasks = [self._pool.submit(_render_chunk, paths, seed, start, mixes) for start in starts]

    def ready(self) -> int:
        """Return how many scenes are rendered, counted from the first without a gap.

        Raises:
            Exception: what a process raised; `BrokenProcessPool` where one was killed.
        """
        if self._done.all():
            return len(self._done)
        for task in self._tasks:
            if task.done():
                task.result()
        return int(np.argmin(self._done))

    def wait(self, count: int) -> Labelled:
        """Wait until this number of scenes is rendered, and return them."""
        while (ready := self.ready()) < min(count, len(self._done)):
            time.sleep(0.1)
        return Labelled(self.scenes.images[:ready], self.scenes.labels[:ready])

    def stop(self) -> None:
        """Start no new scene: the processes end after their present chunk, and rendered scenes are kept."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def rendered(folder: Path, seed: int, count: int, size: int, workers: int = 2) -> Labelled:
    """Return the first ``count`` scenes of a series, rendering those that ``folder`` lacks."""
    rendering = Rendering(folder, seed, count, size, workers)
    try:
        return rendering.wait(count)
    finally:
        rendering.stop()


def main() -> None:
    """Fill a cache ahead of training."""
    parser = argparse.ArgumentParser(prog="python -m training.cache", description=main.__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    rendering = Rendering(args.folder, args.seed, args.count, args.size, args.workers, TRAINING_MIXES)
    try:
        rendering.wait(args.count)
    finally:
        rendering.stop()


if __name__ == "__main__":
    main()
