"""Crops of labelled frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cgsam_edge.quality.labels import read_classes, read_index_labels
from cgsam_edge.quality.scenes import CONCEPTS
from cgsam_edge.quality.scenes.__main__ import write_scenes
from training.crops import SIDES, write_crops
from training.ship import frames_with_crops


def test_crops_are_parts_of_frames_with_the_labels_of_these_parts(tmp_path: Path) -> None:
    frames, crops = tmp_path / "frames", tmp_path / "crops"
    for folder in ("images", "labels"):
        (frames / folder).mkdir(parents=True)
    rows, columns = np.mgrid[:60, :80].astype(np.uint8)
    Image.fromarray(np.stack([rows, columns, rows], -1)).save(frames / "images" / "a.png")
    Image.fromarray(rows + columns).save(frames / "labels" / "a.png")
    write_crops(frames, crops, 4, seed=1)
    made = sorted((crops / "images").iterdir())
    assert [path.name for path in made] == [f"a_{i}.png" for i in range(4)]
    places = set()
    for path in made:
        pixels, labels = (np.array(Image.open(crops / folder / path.name)) for folder in ("images", "labels"))
        assert np.array_equal(pixels[..., 0] + pixels[..., 1], labels)
        for side, whole in zip(labels.shape, (60, 80), strict=True):
            assert SIDES[0] * whole - 1 <= side <= SIDES[1] * whole + 1
        places.add((*pixels[0, 0], *pixels[-1, -1]))
    assert len(places) == 4


def test_frames_are_followed_by_their_crops_which_lack_concepts(tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    write_scenes(scenes, 1, range(3), 128, 128)
    groups = frames_with_crops(scenes, tmp_path / "crops", scenes / "classes.txt", 2)
    frames = list(read_index_labels(scenes / "images", scenes / "labels", read_classes(scenes / "classes.txt")))
    assert [group[0].path for group in groups] == [frame.path for frame in frames]
    for frame, *crops in groups:
        assert [crop.path.stem for crop in crops] == [f"{frame.path.stem}_{i}" for i in range(2)]
    absent = [sum(one.shows_absent(name) for name in CONCEPTS) for group in groups for one in group]
    assert sum(absent[1::3] + absent[2::3]) > 2 * sum(absent[::3])  # crops lack more
