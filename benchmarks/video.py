"""Measure what overlapping gains: ``cgsam segment`` of a clip and of big photos, with and without it, in turns.

Both ways run the same functions, write the same files, and run in one process, round after round, so that drift
affects both alike. The clip and the photos are rendered street scenes.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from cgsam_edge import Segmenter
from cgsam_edge.cli.inputs import Item, open_inputs, read
from cgsam_edge.cli.outputs import RunLog
from cgsam_edge.cli.stages import AHEAD, make_stages, write_all
from cgsam_edge.pipeline import Processed, Stage, overlap
from cgsam_edge.quality.scenes.render import render

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HELD = 5
"""Frames of a clip that one scene gives, a little nearer each."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bundle", type=Path, help="the bundle (default: the reference bundle)")
    parser.add_argument("--concepts", help="concepts, separated by commas (default: all)")
    parser.add_argument("--backend", default="onnxruntime", help="engine (default: onnxruntime)")
    parser.add_argument("--threads", type=int, help="the engine's CPU threads (default: all cores)")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (default: 5)")
    parser.add_argument(
        "--frames", type=int, default=60, help="number of frames of the clip; 0 for no clip (default: 60)"
    )
    parser.add_argument("--clip-size", default="1280x720", help="size of the clip (default: 1280x720)")
    parser.add_argument("--photos", type=int, default=8, help="number of photos; 0 for none (default: 8)")
    parser.add_argument("--photo-size", default="4032x3024", help="size of a photo (default: 4032x3024, 12 megapixels)")
    return parser.parse_args()


def main() -> None:
    """Draw, measure, print."""
    options = parse()
    names = None if options.concepts is None else options.concepts.split(",")
    with (
        tempfile.TemporaryDirectory() as folder,
        Segmenter(options.bundle, backend=options.backend, threads=options.threads) as segmenter,
    ):
        root = Path(folder)
        for title, files in (("clip", draw_clip(root, options)), ("photos", draw_photos(root, options))):
            if files:
                measure(title, files, segmenter, names, options.rounds)


def measure(title: str, files: list[Path], segmenter: Segmenter, names: list[str] | None, rounds: int) -> None:
    """Run the ways in turns, and print their times."""
    segmenter.segment(next(read(open_inputs({file: file for file in files}, None))).image(), names)  # warm
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            taken[name].append(run(way, files, segmenter, names))
    first = [seconds for seconds, _ in taken["in turn"]]
    for name, runs in taken.items():
        ratio = statistics.median(seconds / base for (seconds, _), base in zip(runs, first, strict=True))
        seconds, busy = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{title}, {name}: {seconds:.2f} s, {ratio:.3f} of in turn; engine busy {100 * busy:.0f} %", flush=True)


def run(
    way: Callable[..., Processed[Item]], files: list[Path], segmenter: Segmenter, names: list[str] | None
) -> tuple[float, float]:
    """Return the seconds of one run over all files, and the engine's share of them."""
    stages = make_stages(lambda item: segmenter.prepare(item.image()), lambda image: segmenter.segment(image, names))
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        inputs = open_inputs({file: Path(folder) / file.stem for file in files}, None)
        start = time.perf_counter()
        with RunLog(inputs) as log, closing(way(read(inputs), *stages, ahead=AHEAD)) as finished:
            write_all(finished, log)
        seconds = time.perf_counter() - start
    return seconds, stages[1].seconds / seconds


def in_turn(items: Iterable[Item], *stages: Stage, ahead: int) -> Processed[Item]:
    """Do what `overlap` does, in this thread and without overlapping."""
    del ahead
    for item in items:
        done: Future[Any] = finished(item)
        for stage in stages:
            done = finished(stage.after(done))
        yield item, done


def finished(value: Any) -> Future[Any]:
    """Return a completed future."""
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def narrow(items: Iterable[Item], *stages: Stage, ahead: int) -> Processed[Item]:
    """Overlap, with one thread for each of OpenCV's functions."""
    kept = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield from overlap(items, *stages, ahead=ahead)
    finally:
        cv2.setNumThreads(kept)


WAYS: dict[str, Callable[..., Processed[Item]]] = {
    "in turn": in_turn,
    "overlapped": overlap,
    "overlapped, OpenCV with one thread": narrow,
}


def draw_clip(folder: Path, options: argparse.Namespace) -> list[Path]:
    """Write a clip in which the camera nears scene after scene."""
    if not options.frames:
        return []
    width, height = map(int, options.clip_size.split("x"))
    path = folder / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12, (width, height))
    for number in range(options.frames):
        index, step = divmod(number, _HELD)
        if step == 0:
            scene = picture(index, height, width)
        x, y = width * step // 80, height * step // 80
        writer.write(cv2.resize(scene[y : height - y, x : width - x], (width, height)))
    writer.release()
    return [path]


def draw_photos(folder: Path, options: argparse.Namespace) -> list[Path]:
    """Write JPEGs: scenes rendered at a third of the size, enlarged."""
    width, height = map(int, options.photo_size.split("x"))
    paths = [folder / f"photo-{index}.jpg" for index in range(options.photos)]
    for index, path in enumerate(paths):
        cv2.imwrite(str(path), cv2.resize(picture(index, height // 3, width // 3), (width, height)))
    return paths


def picture(index: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return a scene, BGR."""
    image: NDArray[np.uint8] = cv2.cvtColor(render(0, index, height, width).image, cv2.COLOR_RGB2BGR)
    return image


if __name__ == "__main__":
    main()
