"""The series: number of concepts, size of the caller's picture, and blocks that depend on the concept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import prepare, seeded
from benchmarks.runners import Request
from benchmarks.turns import Task
from cgsam_edge import shipped
from cgsam_edge.files import write_beside
from cgsam_edge.quality.scenes.render import render

ONE, TEN = "1 concept", "10 concepts"
_ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Sizes:
    """The points of the plots.

    Attributes:
        concepts: counts; the bundle has as many names as the greatest.
        megapixels: of the caller's picture.
        semantic: how many of twelve blocks depend on the concept.
        side: of the seeded models, in pixels.
        width: of the seeded models; their heads have 64 channels.
        window: of the seeded models' attention, in tokens of 16 pixels.
        checkpoint: of the trained model, for concepts and pictures.
    """

    concepts: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 200)
    megapixels: tuple[float, ...] = (0.3, 1, 3, 12, 24, 50)
    semantic: tuple[int, ...] = (4, 8, 12)
    side: int = 512
    width: int = 192
    window: int = 14
    checkpoint: Path = shipped.CHECKPOINT


@dataclass(frozen=True)
class Line:
    """A line of a plot: where its points are among the turns.

    Attributes:
        name: in the legend.
        keys: of tasks, by x.
        command: of these tasks.
    """

    name: str
    keys: dict[float, str]
    command: str


@dataclass(frozen=True)
class Series:
    """Two plots over one axis: time, and peak memory.

    Attributes:
        name: for files.
        title: a heading.
        text: what was measured.
        x_label: of the axis.
        lines: of the plot of time.
        memory: of the plot of memory.
        tasks: that measure it.
    """

    name: str
    title: str
    text: str
    x_label: str
    lines: tuple[Line, ...]
    memory: tuple[Line, ...]
    tasks: tuple[Task, ...]


def all_series(sizes: Sizes, work: Path, threads: int | None) -> list[Series]:
    """Return the series, after making the bundles and pictures that they need.

    Args:
        sizes: the points.
        work: folder for exports, pictures and caches.
        threads: CPU threads; None leaves it to the engines.

    Raises:
        BackendError: a bundle could not be exported.
        OutputError: the folder cannot be written.
    """
    maker = _Maker(sizes, work, threads)
    return [maker.by_concepts(), maker.by_picture(), maker.by_blocks()]


class _Maker:
    def __init__(self, sizes: Sizes, work: Path, threads: int | None) -> None:
        self._sizes, self._work, self._threads = sizes, work, threads
        names = "".join(f"thing {i}\n" for i in range(max(*sizes.concepts, 10)))
        self._names = work / "names.txt"
        write_beside(self._names, partial(Path.write_text, data=names, encoding="utf-8"))
        self._scene = Image.fromarray(render(5, 22, 1024, 1024).image)

    def by_concepts(self) -> Series:
        """Return the series of both engines; each count runs in a separate process, so that its peak memory shows."""
        picture, bundle = self._picture(1.0, ".npy"), self._bundle(self._sizes.checkpoint)
        tasks, lines = [], []
        for engine, name in _ENGINES.items():
            made = {
                count: self._task(f"concepts {engine} {count}", bundle, engine, picture, {"time": _masks(count, 1)})
                for count in self._sizes.concepts
            }
            tasks += list(made.values())
            lines.append(Line(name, {count: task.key for count, task in made.items()}, "time"))
        return Series(
            "concepts",
            "Number of concepts",
            "The reference model; a picture of one megapixel in memory, to masks of its size; made-up concept names.",
            "concepts",
            tuple(lines),
            tuple(lines),
            tuple(tasks),
        )

    def by_picture(self) -> Series:
        """Return the series of pictures, as an array and as the path of a JPEG."""
        bundle = self._bundle(self._sizes.checkpoint)
        tasks, lines = [], []
        for suffix, name in ((".npy", "array"), (".jpg", "JPEG file")):
            made = {
                size: self._task(
                    f"picture {suffix} {size:g}",
                    bundle,
                    "onnxruntime",
                    self._picture(size, suffix),
                    {"time": _masks(1, 2)},
                )
                for size in self._sizes.megapixels
            }
            tasks += list(made.values())
            lines.append(Line(name, {size: task.key for size, task in made.items()}, "time"))
        return Series(
            "picture",
            "Size of the caller's picture",
            "One concept on ONNX Runtime; the mask has the picture's size. The model's own input does not grow.",
            "megapixels",
            tuple(lines),
            tuple(lines),
            tuple(tasks),
        )

    def by_blocks(self) -> Series:
        """Return the series of seeded models of twelve blocks, of which the last ones are semantic."""
        picture, commands = self._picture(1.0, ".npy"), {ONE: _masks(1, 2), TEN: _masks(10, 1)}
        made = {
            count: self._task(
                f"blocks {count}", self._bundle(self._seeded(count)), "onnxruntime", picture, dict(commands)
            )
            for count in self._sizes.semantic
        }
        keys = {float(count): task.key for count, task in made.items()}
        lines = tuple(Line(name, keys, name) for name in commands)
        return Series(
            "blocks",
            "Semantic blocks",
            f"A seeded model of {seeded.BLOCKS} blocks of width {self._sizes.width} at {self._sizes.side} pixels, on "
            "ONNX Runtime. The last blocks depend on the concept; what comes before them is computed once an image.",
            f"semantic blocks of {seeded.BLOCKS}",
            lines,
            (Line("10 concepts", keys, TEN),),
            tuple(made.values()),
        )

    def _task(self, key: str, bundle: Path, engine: str, picture: Path, commands: dict[str, dict[str, Any]]) -> Task:
        request = Request("bundle", engine, str(bundle), "", str(bundle), str(picture), 0, self._threads)
        return Task(key, self._identity(bundle, picture), request, commands, self._work / "caches")

    def _identity(self, bundle: Path, picture: Path) -> str:
        parts = (bundle.parent.name, picture.name, prepare.code("benchmarks/series.py"), self._threads)
        return prepare.identity(*parts, ours=True)

    def _bundle(self, checkpoint: Path) -> Path:
        source = prepare.Source(checkpoint, self._names, self._work / f"exports-{checkpoint.stem}", 0)
        return prepare.artefact(source, "bundle")

    def _picture(self, megapixels: float, suffix: str) -> Path:
        """Return a picture of 4:3."""
        height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
        path = self._work / f"picture-{megapixels:g}{suffix}"
        if not path.exists():
            picture = self._scene.resize((height * 4 // 3, height), Image.Resampling.BICUBIC)
            write_beside(path, partial(_write, picture=picture, suffix=suffix))
        return path

    def _seeded(self, count: int) -> Path:
        path = self._work / f"seeded-{self._sizes.width}-{self._sizes.side}-{count}.pth"
        if not path.exists():
            from tests import tiny  # its models use all parts

            sizes = self._sizes

            model = tiny.model(seeded.config(count, sizes.side, sizes.width, sizes.window))
            write_beside(path, lambda beside: tiny.save(model, beside))
        return path


def _masks(count: int, times: int) -> dict[str, Any]:
    return {"do": "masks", "count": count, "times": times}


def _write(path: Path, picture: Image.Image, suffix: str) -> None:
    with path.open("wb") as file:
        if suffix == ".npy":
            np.save(file, np.asarray(picture))
        else:
            picture.save(file, "JPEG", quality=90)
