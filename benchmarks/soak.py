"""Many images through one segmenter from many threads: memory, masks, threads and files must stay as they were.

    python -m benchmarks.soak --images 10000 --threads 8 --backend onnxruntime

Half of the images go through `Segmenter.segment`, half through `Segmenter.stream_images`. About ten minutes for 10,000
images of the reference bundle on two quiet cores. Prints a Markdown table, and fails if anything grew or differed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from tqdm import tqdm

from cgsam_edge import Segmenter
from cgsam_edge.quality.scenes.__main__ import write_scenes

SERIES, SCENES = 11, 16
"""Rendered scenes that the images repeat."""

BATCH = 50
"""Images in a thread's batch; every other batch is streamed."""

CONCEPT = "car"
GROWTH_LIMIT = 0.02
"""Largest growth of memory allowed, from the fifth tenth of the run to the last; before that, allocators warm up."""


@dataclass
class Watch:
    """What is counted while the images run.

    Attributes:
        total: images to do.
        taken: images that threads have taken.
        done: images that came back.
        memory: resident bytes that are the process's own, after each batch; pages of files are left out, because the
            system frees them at will.
        different: images whose mask was not that of the first pass.
    """

    total: int
    memory: list[int] = field(default_factory=list)
    different: int = 0
    taken: int = 0
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def batches(self) -> Iterator[range]:
        """Yield batches of image numbers until all are taken, to any number of threads."""
        while True:
            with self.lock:
                start, self.taken = self.taken, min(self.total, self.taken + BATCH)
                batch = range(start, self.taken)
            if not batch:
                return
            yield batch

    def note(self, *, same: bool) -> None:
        """Count one image."""
        with self.lock:
            self.done += 1
            self.different += not same

    def measure(self, process: psutil.Process) -> None:
        """Record how much memory the process has now."""
        with self.lock:
            used = process.memory_info()
            self.memory.append(used.rss - getattr(used, "shared", 0))

    @property
    def growth(self) -> float:
        """Growth of the median memory from the fifth tenth of the run to the last, as a share."""
        tenth = max(1, len(self.memory) // 10)
        before, after = np.median(self.memory[4 * tenth : 5 * tenth]), np.median(self.memory[-tenth:])
        return float(after / before - 1)


def work(segmenter: Segmenter, scenes: list[Path], first: list[NDArray[np.uint8]], watch: Watch, bar: tqdm) -> None:  # type: ignore[type-arg]
    """Segment batches, every other one as a stream, and compare each mask with that of the first pass."""
    process = psutil.Process()
    for batch in watch.batches():
        numbers = [n % len(scenes) for n in batch]
        if (batch.start // BATCH) % 2:
            sources = [scenes[n] for n in numbers]
            results = [np.packbits(r[CONCEPT].mask) for _, r in segmenter.stream_images(sources, CONCEPT)]
        else:
            results = [np.packbits(segmenter.segment(scenes[n], CONCEPT)[CONCEPT].mask) for n in numbers]
        for n, got in zip(numbers, results, strict=True):
            watch.note(same=bool(np.array_equal(got, first[n])))
        watch.measure(process)
        bar.update(len(batch))


def soak(segmenter: Segmenter, scenes: list[Path], images: int, threads: int) -> Watch:
    """Run all images, and return what was counted."""
    first = [np.packbits(segmenter.segment(scene, CONCEPT)[CONCEPT].mask) for scene in scenes]
    watch = Watch(images)
    with tqdm(total=images, unit="image", mininterval=10) as bar:
        workers = [
            threading.Thread(target=work, args=(segmenter, scenes, first, watch, bar), name=f"soak-{i}")
            for i in range(threads)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return watch


def settled(process: psutil.Process, before: int) -> int:
    """Return how many threads there are, once those of the last streams had five seconds to end."""
    end = time.monotonic() + 5
    while process.num_threads() > before and time.monotonic() < end:
        time.sleep(0.05)
    return process.num_threads()


def main() -> int:
    """Measure one engine."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=8, help="threads that call the segmenter (default: 8)")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--bundle", type=Path, help="default: the reference bundle")
    args = parser.parse_args()
    process = psutil.Process()
    tqdm.monitor_interval = 0  # its thread would be counted
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(Path(folder), SERIES, range(SCENES), 512, 512)
        scenes = sorted((Path(folder) / "images").iterdir())
        began = time.perf_counter()
        with Segmenter(args.bundle, backend=args.backend, device="cpu") as segmenter:
            segmenter.segment(scenes[0], CONCEPT)
            before = process.num_threads(), process.num_fds()
            watch = soak(segmenter, scenes, args.images, args.threads)
            version = segmenter.placement.version
            after = settled(process, before[0]), process.num_fds()
    seconds = time.perf_counter() - began
    print("| engine | images | threads | images/s | memory | growth | masks that differ | threads | open files |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(
        f"| {args.backend} {version} | {watch.done} of {args.images} | {args.threads} | {args.images / seconds:.1f} | "
        f"{watch.memory[-1] / 1e6:.0f} MB | {100 * watch.growth:+.1f} % | {watch.different} | "
        f"{before[0]} → {after[0]} | {before[1]} → {after[1]} |"
    )
    tenth = max(1, len(watch.memory) // 10)
    tenths = [watch.memory[i * tenth : (i + 1) * tenth] for i in range(10)]
    medians = [np.median(one) / 1e6 for one in tenths if one]
    print("\nMedian memory of each tenth, MB:", ", ".join(f"{value:.1f}" for value in medians))
    grown = watch.growth > GROWTH_LIMIT or after[0] > before[0] or after[1] > before[1]
    failed = watch.done != args.images or watch.different or grown
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
