"""Tracks in overlays, and ``cgsam segment --track --smooth``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Tracking
from cgsam_edge.cli import main
from cgsam_edge.live.tracker import Tracker
from cgsam_edge.overlay import palette
from cgsam_edge.overlay_tracks import shade
from cgsam_edge.quality.scenes import render_clip
from cgsam_edge.results import Result
from cgsam_edge.rle import decode_rle
from tests.live.scripted import boxes, result
from tests.runtime import clips

SIDE = (200, 200)

Run = Callable[..., int]


def tracked(*found: tuple[int, int, int, int]) -> Result:
    one = result({"tree": boxes(SIDE), "car": boxes(SIDE, *found)})
    return replace(one, tracks=Tracker(Tracking(min_frames=1)).update(one))


def test_each_object_has_its_shade_in_the_overlay() -> None:
    """Two cars in two shades of the concept's colour, over a black picture; their outlines have the full shade."""
    drawn = np.asarray(tracked((20, 20, 60, 60), (120, 120, 40, 40)).overlay(opacity=0.5))
    expected = [np.array(shade(palette(2)[1], number)) for number in (1, 2)]
    for (row, column), colour in zip([(25, 25), (125, 125)], expected, strict=True):
        assert np.abs(drawn[row, column] - colour / 2).max() <= 1
    for (row, column), colour in zip([(20, 50), (120, 140)], expected, strict=True):
        assert np.array_equal(drawn[row, column], colour)
    assert not drawn[100, 5].any()


def test_its_number_stands_inside() -> None:
    one = tracked((20, 20, 60, 60))
    with_number, without = np.asarray(one.overlay()), np.asarray(replace(one, tracks=()).overlay())
    white = np.asarray((with_number > 150).all(axis=2) & (without < 150).any(axis=2))
    rows, columns = np.nonzero(white[:, :200])
    assert len(rows) > 5
    assert (abs(rows.mean() - 50), abs(columns.mean() - 50)) < (4, 4)


def test_without_tracks_the_overlay_is_what_it_was() -> None:
    one = result({"tree": boxes(SIDE), "car": boxes(SIDE, (20, 20, 60, 60))})
    drawn = np.asarray(one.overlay(opacity=0.5))
    assert np.abs(drawn[50, 50] - np.array(palette(2)[1]) / 2).max() <= 1


def test_shades_are_stable_near_the_colour_and_apart() -> None:
    colour = palette(3)[0]
    found = [shade(colour, number) for number in range(1, 9)]
    assert found == [shade(colour, number) for number in range(1, 9)]
    apart = [np.abs(np.subtract(a, b)).max() for i, a in enumerate(found) for b in found[:i]]
    assert min(apart) > 5
    others = [np.abs(np.subtract(a, palette(3)[1])).max() for a in found]
    assert min(others) > 100


@pytest.fixture
def run(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``cgsam segment`` in a separate folder."""
    monkeypatch.chdir(tmp_path)
    fixed = ["--bundle", str(tiny_bundle), "--backend", "onnxruntime", "--concepts", "car,road", "--output", "out"]
    return lambda *arguments: main(["segment", *arguments, *fixed])


def lines(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path("out", name).read_text(encoding="utf-8").splitlines()]


def test_a_video_s_lines_have_numbers_and_masks_stay_exact(run: Run, tmp_path: Path) -> None:
    """The second video begins anew, so both have the same numbers."""
    for name in ("a.mp4", "b.mp4"):
        clips.make(tmp_path / name, 6)
    assert run("a.mp4", "b.mp4", "--track") == 0
    with_tracks, again = lines("a.jsonl"), lines("b.jsonl")
    assert [one.get("tracks") for one in with_tracks] == [one.get("tracks") for one in again]
    assert "tracks" not in with_tracks[0]  # the second frame confirms what the first one shows
    tracks = with_tracks[-1]["tracks"]
    assert isinstance(tracks, list)
    assert {one["id"] for one in tracks} >= {1}
    for one in tracks:
        mask = decode_rle(one["segmentation"])
        x, y, width, height = one["bbox"]
        assert int(mask.sum()) == one["area"] == int(mask[y : y + height, x : x + width].sum())
        assert one["category"] in ("car", "road")
    assert run("a.mp4", "--force") == 0
    plain = lines("a.jsonl")
    assert [one["annotations"] for one in plain] == [one["annotations"] for one in with_tracks]
    assert not any("tracks" in one for one in plain)


def test_images_of_a_run_are_one_series(run: Run, tmp_path: Path) -> None:
    for one in render_clip(3, 0, 3, 96, 128):
        Image.fromarray(one.image).save(tmp_path / f"{one.number}.png")
    assert run("0.png", "1.png", "2.png", "--track", "--smooth", "0.5") == 0
    found = [json.loads(Path("out", f"{number}.json").read_text()) for number in range(3)]
    numbers = [{one["id"] for one in document.get("tracks", [])} for document in found]
    assert numbers[0] == set()
    assert numbers[1] & numbers[2]


def test_what_cannot_be_followed_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (64, 64)).save("one.png")
    for options, words in (
        (
            ["--track", "--tile", "64"],
            "--track and --smooth are for whole images that follow each other; leave out --tile",
        ),
    ):
        assert run("one.png", *options) != 0
        assert words in capsys.readouterr().err
