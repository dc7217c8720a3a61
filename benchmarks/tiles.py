"""What tiles are good for: ``python -m benchmarks.tiles --help``.

Class mIoU of labelled pictures as a whole and in tiles, of all concepts and of the small ones, with the time; and how
much masks change when tiles begin elsewhere. A concept is small if its label covers less than 2 % of the picture in the
median picture that holds it.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cgsam_edge import Segmenter, shipped
from cgsam_edge.agreement import Overlap, holds, is_held, label_overlap, mask_iou, overlap, spread_evenly
from cgsam_edge.image import load_image
from cgsam_edge.limits import Limits
from cgsam_edge.quality.pairs import concept_ious
from cgsam_edge.quality.scenes import CONCEPTS, IGNORE
from cgsam_edge.quality.scenes.render import render
from cgsam_edge.results import Result
from cgsam_edge.tiling import TileOptions, segment_tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.uint8]

SMALL = 0.02
"""Largest share of a picture that a small concept's label covers."""


@dataclass(frozen=True)
class Way:
    """One way to segment: as a whole, or in tiles of a side and an overlap."""

    tile: str | int | None = None
    overlap: float = 0.5

    def __str__(self) -> str:
        return "whole" if self.tile is None else f"tiles of {self.tile}, overlap {self.overlap:g}"


@dataclass
class Score:
    """What was found in one way."""

    overlaps: list[tuple[str, Overlap | None]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    shifted: dict[float, list[tuple[float, Overlap]]] = field(default_factory=lambda: defaultdict(list))


def rendered(options: argparse.Namespace) -> Iterator[tuple[Any, Labels]]:
    """Yield rendered scenes that no model was trained or calibrated on, as arrays, with their labels."""
    for index in range(options.pictures):
        scene = render(1, index, options.size, options.size)
        yield scene.image, scene.labels


def photographed(options: argparse.Namespace) -> Iterator[tuple[Any, Labels]]:
    """Yield frames of a folder with ``images/`` and index PNGs in ``labels/``, spread evenly over it."""
    for path in spread_evenly(sorted((options.folder / "images").iterdir()), options.pictures):
        with Image.open(options.folder / "labels" / f"{path.stem}.png") as labels:
            yield np.asarray(load_image(path)), np.asarray(labels)


def segment(segmenter: Segmenter, picture: Any, way: Way, begin: int = 0) -> Result:
    """Segment a picture, with each concept computed."""
    if way.tile is None:
        return segmenter.segment(picture, skip_absent=False)
    model = segmenter._model  # noqa: SLF001 — where tiles begin is no option of the public function
    options = TileOptions(way.tile, way.overlap, begin=begin)
    return segment_tiles(model, picture, model.indices(None), Limits(skip_absent=False), options)


def measure(
    segmenter: Segmenter, picture: Any, labels: Labels, way: Way, score: Score, shifts: tuple[float, ...]
) -> None:
    """Segment one picture in one way, and add what was found to its score."""
    start = time.perf_counter()
    found = segment(segmenter, picture, way)
    score.seconds.append(time.perf_counter() - start)
    valid = labels != IGNORE
    held = {name: labels == number for number, name in enumerate(CONCEPTS) if name in found}
    for name, truth in held.items():
        score.overlaps.append((name, label_overlap(found[name].mask, truth, valid)))
        score.right.append(found[name].present == holds(truth, valid))
    side = getattr(getattr(found, "lattice", None), "side", 0)
    for share in shifts if side else ():
        other = segment(segmenter, picture, way, round(share * side))
        for name, truth in held.items():
            if holds(truth, valid):
                pair = found[name].mask, other[name].mask
                score.shifted[share].append((mask_iou(*pair), overlap(*pair)))


def small_concepts(shares: dict[str, list[float]]) -> set[str]:
    """Return the concepts whose labels cover little of the median picture that holds them."""
    return {name for name, values in shares.items() if median(values) < SMALL}


def table(scores: dict[Way, Score], small: set[str]) -> str:
    """Return the table as Markdown."""
    names = [name for name in CONCEPTS if name in concept_ious(next(iter(scores.values())).overlaps)]
    rows = [["", "class mIoU", "small concepts", *names, "presence right", "seconds"]]
    for way, score in scores.items():
        ious = concept_ious(score.overlaps)
        few = [ious[name] for name in names if name in small]
        numbers = [mean(ious.values()), mean(few) if few else float("nan"), *(ious[name] for name in names)]
        right, seconds = f"{100 * mean(score.right):.1f} %", f"{median(score.seconds):.2f}"
        rows.append([str(way), *(f"{number:.3f}" for number in numbers), right, seconds])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:], "", f"small: {', '.join(sorted(small))}"])


def shifts_line(way: Way, score: Score) -> Iterator[str]:
    """Yield what moving the tiles changed."""
    for share, pairs in score.shifted.items():
        together = sum((both for _, both in pairs), Overlap())
        worst = min(iou for iou, _ in pairs)
        yield (
            f"{way}, moved by {share:g} of a tile: mask IoU {mean(iou for iou, _ in pairs):.3f} in the mean of "
            f"{len(pairs)} masks, {together.iou:.3f} of all pixels, worst {worst:.3f}"
        )


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiles", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=shipped.BUNDLE, help="(default: the reference bundle)")
    parser.add_argument("--folder", type=Path, help="labelled pictures: images/ and labels/ (default: rendered scenes)")
    parser.add_argument("--size", type=int, default=1024, help="side of rendered scenes (default: 1024)")
    parser.add_argument("--pictures", type=int, default=12, help="how many (default: 12)")
    parser.add_argument("--tile", nargs="*", default=["auto"], help="sides of tiles (default: auto)")
    parser.add_argument("--overlap", nargs="*", type=float, default=[0.5], help="overlaps (default: 0.5)")
    parser.add_argument("--shift", nargs="*", type=float, default=[], help="move tiles by these shares of a tile too")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = parse()
    warnings.simplefilter("ignore", UserWarning)
    sides = [int(tile) if tile.isdecimal() else tile for tile in options.tile]
    ways = [Way(), *(Way(side, share) for side in sides for share in options.overlap)]
    scores = {way: Score() for way in ways}
    shares: dict[str, list[float]] = defaultdict(list)
    with Segmenter(options.bundle, backend=options.backend, threads=options.threads) as segmenter:
        for picture, labels in (photographed if options.folder else rendered)(options):
            for number, name in enumerate(CONCEPTS):
                if is_held(count := int((labels == number).sum())):
                    shares[name].append(count / labels.size)
            for way, score in scores.items():
                measure(segmenter, picture, labels, way, score, tuple(options.shift))
    print(table(scores, small_concepts(shares)))
    for way, score in scores.items():
        print(*shifts_line(way, score), sep="\n", end="\n" if score.shifted else "")


if __name__ == "__main__":
    main()
