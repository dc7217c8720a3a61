"""Pictures to label, small ones made here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cgsam_edge.bulk.job import Job, run
from cgsam_edge.bulk.recipe import Recipe
from cgsam_edge.quality.scenes import CONCEPTS
from cgsam_edge.quality.scenes.__main__ import write_scenes

assert "car" in CONCEPTS


@pytest.fixture(scope="session")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five rendered streets, in two folders."""
    made = tmp_path_factory.mktemp("made")
    write_scenes(made, 5, range(5), 160, 128)
    folder = tmp_path_factory.mktemp("streets")
    for number, file in enumerate(sorted((made / "images").iterdir())):
        place = folder / ("morning" if number < 2 else "evening")
        place.mkdir(exist_ok=True)
        (place / f"{number}.png").write_bytes(file.read_bytes())
    return folder


def recipe(**options: object) -> Recipe:
    """The quickest recipe: two concepts on one thread."""
    chosen = {"concepts": ("road", "car"), "backend": "onnxruntime", "threads": 1, **options}
    return Recipe(**chosen)  # type: ignore[arg-type]


def job(folder: Path, output: Path, **options: object) -> Job:
    """A run over a folder into COCO."""
    chosen = {"sources": (str(folder),), "output": output, "recipe": recipe(), "formats": ("coco",), **options}
    return Job(**chosen)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, bytes]:
    """All files of a run by their places, without the shards, whose order is that of the work."""
    found = (path for path in folder.rglob("*") if path.is_file() and "labels" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def done(streets: Path, own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over the streets."""
    output = tmp_path_factory.mktemp("runs") / "run"
    totals = run(job(streets, output))
    assert (totals.pictures, totals.failed) == (5, 0)
    return output


def copied(done: Path, tmp_path: Path) -> Path:
    """A copy of a run, to be changed."""
    return Path(shutil.copytree(done, tmp_path / "run"))


def shard_lines(folder: Path) -> list[str]:
    """Lines of a run's first shard."""
    return (folder / "labels/000001.jsonl").read_text().splitlines()
