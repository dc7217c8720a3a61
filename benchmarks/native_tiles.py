"""A very large TIFF at the model's own scale: peak memory and time of `segment(tile="auto")`, read in windows.

    python -m benchmarks.native_tiles --side 30000 --concepts car --work /tmp/maps

The picture repeats a rendered scene, so most of its tiles show the same: each graph runs once for the same input, and
its answer is kept for the next time. Masks and memory are those of a run without that; `--every-tile` runs the graphs
for every tile, for the time. ``--width`` takes a part of the picture's columns, whose memory is the same but for
the logits that are kept.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from cgsam_edge import Segmenter
from cgsam_edge.quality.scenes.render import render
from cgsam_edge.tiling import TiledResult
from cgsam_edge.tiling.tiled import TiledConcept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Session

PERIOD = 1536
"""Side of the scene that is repeated: a multiple of the steps between tiles, beyond what zlib looks back."""

_KEPT = 1500 * 2**20
"""Most bytes of answers that are kept; subtracted from the peak, as a run without them has none."""

SERIES = 31


@dataclass(frozen=True)
class NativeRun:
    """What a picture took.

    Attributes:
        width, height: of the picture.
        tiles: their number.
        concepts: that were computed.
        seconds: of segmenting.
        seconds_to_objects: of finding all objects afterwards.
        objects: their number.
        peak: most bytes of the process after each tile and at the end, without the kept answers.
        at_tenths: bytes of the process at each tenth of the way, likewise.
        logits: bytes of the logits that are kept.
        graph_runs: how often a graph ran.
        graph_seconds: how long.
    """

    width: int
    height: int
    tiles: int
    concepts: tuple[str, ...]
    seconds: float
    seconds_to_objects: float
    objects: int
    peak: int
    at_tenths: tuple[int, ...]
    logits: int
    graph_runs: int
    graph_seconds: float


class KeptAnswers:
    """Answers of all graphs by their inputs, the least recently used dropped beyond a limit."""

    def __init__(self, limit: int) -> None:
        self._limit, self.nbytes = limit, 0
        self._held: OrderedDict[tuple[str, int], dict[str, NDArray[np.float32]]] = OrderedDict()
        self.runs, self.seconds = 0, 0.0

    def of(self, graph: str, session: Session, values: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to these inputs, computed if it is not held."""
        key = (
            graph,
            hash(b"".join(name.encode() + np.ascontiguousarray(one).tobytes() for name, one in values.items())),
        )
        if key in self._held:
            self._held.move_to_end(key)
            return {name: one.copy() for name, one in self._held[key].items()}
        begun = time.perf_counter()
        made: dict[str, Any] = dict(session.run(values))
        self.runs, self.seconds = self.runs + 1, self.seconds + time.perf_counter() - begun
        if self._limit:
            self._held[key] = {name: one.copy() for name, one in made.items()}
            self.nbytes += _bytes(made)
        while self.nbytes > self._limit:
            self.nbytes -= _bytes(self._held.popitem(last=False)[1])
        return made


def _bytes(answer: dict[str, Any]) -> int:
    return sum(one.nbytes for one in answer.values())


class _Answering:
    """A session that answers from what is kept."""

    def __init__(self, graph: str, session: Session, answers: KeptAnswers) -> None:
        self._graph, self._session, self._answers = graph, session, answers

    def run(self, values: dict[str, Any]) -> dict[str, Any]:
        return self._answers.of(self._graph, self._session, values)

    def close(self) -> None:
        self._session.close()


def write_map(path: Path, width: int, height: int) -> Path:
    """Write a tiled TIFF that repeats a rendered scene."""
    import rasterio
    from rasterio.windows import Window

    scene = np.moveaxis(render(SERIES, 0, PERIOD, PERIOD).image, -1, 0)
    form = {"driver": "GTiff", "dtype": "uint8", "count": 3, "tiled": True, "blockxsize": 512, "blockysize": 512}
    kind = {"compress": "deflate", "photometric": "rgb", "zlevel": 1}
    with rasterio.open(path, "w", width=width, height=height, **form, **kind) as file:
        for top in range(0, height, PERIOD):
            for left in range(0, width, PERIOD):
                part = scene[:, : height - top, : width - left]
                file.write(part, window=Window(left, top, part.shape[2], part.shape[1]))
    return path


def measure(path: Path, concepts: Sequence[str], *, every_tile: bool = False, **options: Any) -> NativeRun:
    """Segment a TIFF at the model's own scale, and find its objects.

    Args:
        path: the TIFF.
        concepts: to compute.
        every_tile: whether the graphs run for every tile.
        options: of `Segmenter.segment`.
    """
    answers, process = KeptAnswers(0 if every_tile else _KEPT), psutil.Process()
    held: list[int] = []
    peak = 0

    def look(done: int, total: int) -> None:
        nonlocal peak
        now = process.memory_info().rss - answers.nbytes
        peak = max(peak, now)
        if done * 10 // total > len(held) - 1:
            held.append(now)

    with Segmenter(backend="onnxruntime", threads=1) as segmenter:
        sessions = segmenter._model.sessions  # noqa: SLF001 — what the graphs answer is kept
        for graph, session in list(sessions.items()):
            sessions[graph] = _Answering(graph, session, answers)  # type: ignore[assignment]
        begun = time.perf_counter()
        result = segmenter.segment(path, list(concepts), tile="auto", skip_absent=False, progress=look, **options)
        segmented = time.perf_counter()
        found = result.objects()
        peak = max(peak, process.memory_info().rss - answers.nbytes)
        ended = time.perf_counter()
    assert isinstance(result, TiledResult)
    logits = sum(one.canvas.nbytes for one in result.values() if isinstance(one, TiledConcept))
    width, height = result.image_size
    return NativeRun(
        width=width,
        height=height,
        tiles=result.lattice.count,
        concepts=tuple(concepts),
        seconds=segmented - begun,
        seconds_to_objects=ended - segmented,
        objects=len(found),
        peak=peak,
        at_tenths=tuple(held),
        logits=logits,
        graph_runs=answers.runs,
        graph_seconds=answers.seconds,
    )


def main() -> None:
    """Write the picture if it is not there, measure, and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.native_tiles")
    parser.add_argument("--side", type=int, default=30_000, metavar="N", help="height (default: %(default)s)")
    parser.add_argument("--width", type=int, metavar="N", help="(default: the height)")
    parser.add_argument("--concepts", default="car", metavar="NAMES")
    parser.add_argument("--overlap", type=float, metavar="SHARE")
    parser.add_argument("--every-tile", action="store_true", help="run the graphs for every tile")
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="for the picture; kept")
    options = parser.parse_args()
    width, height = options.width or options.side, options.side
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / f"{width}x{height}.tif"
    if not path.exists():
        write_map(path, width, height)
    names = options.concepts.split(",")
    print(json.dumps(asdict(measure(path, names, every_tile=options.every_tile, overlap=options.overlap)), indent=1))


if __name__ == "__main__":
    main()
