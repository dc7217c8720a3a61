"""Measure the cost of many concepts: ``python benchmarks/concepts.py --help``.

Two measurements, each in turns with its baseline, so that other load on the machine affects both alike:

- of a calibrated bundle and labelled images: all concepts, less those that similarity rules out, against the labelled
  ones alone;
- of any bundle: more and more concepts ruled out in advance, against one that is computed.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from cgsam_edge import Segmenter, shipped
from cgsam_edge.agreement import holds
from cgsam_edge.bundle import Bundle
from cgsam_edge.manifest import ConceptSpec
from cgsam_edge.presence import uncalibrated
from cgsam_edge.quality.labels import read_classes, read_index_labels
from cgsam_edge.revise import with_vocabulary
from cgsam_edge.screening import COLUMNS
from cgsam_edge.vocabulary import Vocabulary


def in_turns(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median milliseconds of each piece of work, after one round of warming up."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, taken in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            if number:
                taken.append(1000 * (time.perf_counter() - start))
    return [median(taken) for taken in times]


def all_beside_present(segmenter: Segmenter, options: argparse.Namespace) -> None:
    """Print how long all concepts take, and those that each image holds."""
    classes = read_classes(options.classes)
    ratios, skipped = [], []
    for image in read_index_labels(options.images, options.labels, classes):
        held = [name for name, mask in image.masks.items() if holds(mask, image.valid)]
        if not 0 < len(held) <= options.most:
            continue
        works = (
            lambda: segmenter.segment(image.path),  # noqa: B023 — run before the next image
            lambda: segmenter.segment(image.path, held, skip_absent=False),  # noqa: B023
        )
        everything, present = in_turns(works, options.rounds)
        ratios.append(everything / present)
        skipped.append(sum(one.skipped for one in segmenter.segment(image.path).values()))
        print(
            f"{image.path.name}: {len(held)} held, {skipped[-1]} skipped, {everything:.0f} ms beside {present:.0f} ms"
        )
    if ratios:
        print(
            f"{len(ratios)} images: median ratio {median(ratios):.2f}, {np.mean(skipped):.1f} concepts skipped an image"
        )
    else:
        print(f"no image holds 1 to {options.most} concepts")


def crowded(bundle: Bundle, count: int, output: Path) -> Path:
    """Write a bundle with ``count`` more concepts, all of which screening rules out."""
    old = bundle.vocabulary
    old = replace(old, screening=uncalibrated(len(old.names), COLUMNS))  # of the others, all are computed
    rng = np.random.default_rng(0)
    features = rng.standard_normal((count, old.features.shape[1])).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    names = [ConceptSpec(f"absent {i}", ()) for i in range(count)]
    more = Vocabulary.uncalibrated(names, features, np.repeat(old.rows[:1], count, axis=0))
    never = np.zeros((count, COLUMNS), np.float32)
    never[:, -1] = 2  # no probability reaches it
    return with_vocabulary(bundle, old.joined(replace(more, screening=never)), output)


def ruled_out_beside_computed(options: argparse.Namespace, picture: np.ndarray) -> None:
    """Print the cost of concepts that are ruled out, against one that is computed."""
    bundle = Bundle(options.bundle)
    with TemporaryDirectory() as folder:
        path = crowded(bundle, options.absent, Path(folder) / "crowded.cgsam")
        with Segmenter(path, backend=options.backend, threads=options.threads) as segmenter:
            first, absent = segmenter.concepts[0], segmenter.concepts[-options.absent :]
            images = iter([segmenter.encode(picture) for _ in range(2 * (options.rounds + 1))])
            works = (lambda: next(images).segment(first), lambda: next(images).segment(absent))
            computed, skipped = in_turns(works, options.rounds)  # the similarity of all concepts is in both
    print(f"{bundle.path.name}: one concept computed {computed:.1f} ms, {options.absent} ruled out {skipped:.2f} ms,")
    print(f"which is {100 * skipped / computed:.1f} % of it")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python benchmarks/concepts.py", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=shipped.BUNDLE, help="(default: the reference bundle)")
    parser.add_argument("--images", type=Path, help="labelled images, for the first measurement")
    parser.add_argument("--labels", type=Path, help="index PNGs")
    parser.add_argument("--classes", type=Path, help="one concept a line, in index order")
    parser.add_argument("--most", type=int, default=3, help="leave out images that hold more concepts (default: 3)")
    parser.add_argument("--absent", type=int, default=80, help="concepts ruled out in advance (default: 80)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds (default: 5)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # of prompts that the model was not trained for
    size = Bundle(options.bundle).manifest.geometry.image_size
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    ruled_out_beside_computed(options, picture)
    if options.images:
        with Segmenter(options.bundle, backend=options.backend, threads=options.threads) as segmenter:
            all_beside_present(segmenter, options)


if __name__ == "__main__":
    main()
