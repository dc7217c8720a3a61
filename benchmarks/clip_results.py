"""What the shipped model finds in rendered clips, computed once, so that variants compare on the same masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from cgsam_edge.files import write_beside
from cgsam_edge.quality.scenes import ClipFrame, render_clip
from cgsam_edge.results import ConceptResult, Result
from cgsam_edge.segmenter import Segmenter

SERIES = 1
"""Held out, as in the other benchmarks."""

SIDE = 512
FOUND = ("car", "pedestrian", "bicyclist", "sign", "pole", "tree")
"""The concepts that are computed: things, and trees that hide them."""

_PARTS = ("logits", "score", "presence", "present", "skipped")


@dataclass(frozen=True)
class ClipResults:
    """A clip and the model's results.

    Attributes:
        frames: the rendered frames with their labels.
        results: for each frame, all of `FOUND`.
    """

    frames: list[ClipFrame]
    results: list[Result]


def clip_results(segmenter: Segmenter, index: int, frames: int, cache: Path) -> ClipResults:
    """Render a clip, and return the results that the cache holds for it, computed now where it holds none."""
    rendered = list(render_clip(SERIES, index, frames, SIDE, SIDE))
    file = cache / f"clip_{index:03d}_{frames}.npz"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        found = [segmenter.segment(one.image, FOUND) for one in tqdm(rendered, unit="frame", desc=f"clip {index}")]
        columns = {part: np.array([[getattr(c, part) for c in one.values()] for one in found]) for part in _PARTS}
        write_beside(file, partial(_save, columns=columns))
    with np.load(file) as kept:
        return ClipResults(rendered, list(_results(rendered, {part: kept[part] for part in _PARTS})))


def _save(path: Path, columns: dict[str, np.ndarray]) -> None:
    with path.open("wb") as out:
        np.savez(out, **columns)  # type: ignore[arg-type]


def _results(frames: list[ClipFrame], kept: dict[str, np.ndarray]) -> Iterator[Result]:
    for number, frame in enumerate(frames):
        row = {part: values[number] for part, values in kept.items()}
        yield Result(
            Image.fromarray(frame.image), {name: _concept(name, row, index) for index, name in enumerate(FOUND)}
        )


def _concept(name: str, row: dict[str, np.ndarray], index: int) -> ConceptResult:
    none = np.zeros((0, 2), np.float32)
    return ConceptResult(
        name=name,
        logits=row["logits"][index],
        score=float(row["score"][index]),
        presence=float(row["presence"][index]),
        present=bool(row["present"][index]),
        evidence=none[:, 0],
        similarity=none,
        points=none,
        labels=none[:, 0],
        box=None,
        image_size=(SIDE, SIDE),
        skipped=bool(row["skipped"][index]),
    )
