"""Quality of a contender: class mIoU on rendered scenes, whose labels are known."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.runners import Runner
from cgsam_edge.agreement import Overlap, label_overlap
from cgsam_edge.bundle import Bundle
from cgsam_edge.quality.pairs import class_miou
from cgsam_edge.quality.scenes import CONCEPTS, IGNORE
from cgsam_edge.quality.scenes.render import render


def class_miou_of(runner: Runner, bundle: str, series: int, scenes: int) -> float | None:
    """Return the class mIoU of a runner's masks, from text alone.

    Args:
        runner: opened.
        bundle: folder of a bundle with the model's vocabulary.
        series: of scenes that no model was trained or calibrated on.
        scenes: how many, from the first.
    """
    names = Bundle(bundle).vocabulary.names
    return class_miou(pair for index in range(scenes) for pair in _scene(runner, names, series, index))


def _scene(runner: Runner, names: tuple[str, ...], series: int, index: int) -> Iterator[tuple[str, Overlap | None]]:
    scene = render(series, index)
    valid = scene.labels != IGNORE
    for name, mask in zip(names, runner.masks(scene.image, len(names)), strict=True):
        if name in CONCEPTS:
            yield name, label_overlap(mask, scene.labels == CONCEPTS.index(name), valid)
