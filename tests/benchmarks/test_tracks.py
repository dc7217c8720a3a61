"""The tables of tracks and flicker, from results that a test knows: the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import clip_results, tracks
from cgsam_edge import Bundle, shipped
from cgsam_edge.quality.scenes import CONCEPTS, render_clip
from cgsam_edge.results import Result
from tests.live.scripted import result

FRAMES = 4


class Labels:
    """A segmenter that answers with the labels of the clip's frames, in order, and counts."""

    def __init__(self, index: int) -> None:
        self.asked = 0
        self._frames = list(render_clip(clip_results.SERIES, index, FRAMES, clip_results.SIDE, clip_results.SIDE))

    def segment(self, image: np.ndarray, concepts: tuple[str, ...]) -> Result:
        frame = self._frames[self.asked]
        assert np.array_equal(frame.image, image)
        self.asked += 1
        return result({name: frame.labels == CONCEPTS.index(name) for name in concepts})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> clip_results.ClipResults:
    labels, cache = Labels(4), tmp_path_factory.mktemp("cache")
    first = clip_results.clip_results(labels, 4, FRAMES, cache)  # type: ignore[arg-type]
    again = clip_results.clip_results(labels, 4, FRAMES, cache)  # type: ignore[arg-type]
    assert labels.asked == FRAMES
    for one, other in zip(first.results, again.results, strict=True):
        assert list(one) == list(other) == list(clip_results.FOUND)
        assert all(np.array_equal(one[name].logits, other[name].logits) for name in one)
    return again


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_labels_never_flicker(clip: clip_results.ClipResults) -> None:
    """With the labels as results, masks are as steady as they are; the strongest smoothing keeps most of that."""
    head, _, *rows = map(cells, tracks.flicker_table([clip], Bundle(shipped.BUNDLE).vocabulary))
    assert [row[0] for row in rows] == ["0, off", "0.3", "0.5", "0.7", "0.85", "0.5, without motion"]
    off = dict(zip(head, rows[0], strict=True))
    assert off["steadiness"] == off["steadiness, labels'"]
    assert off["mask IoU"] == "1.000"
    most = dict(zip(head, rows[4], strict=True))
    assert 0.8 < float(most["mask IoU"]) < 1


def test_numbers_of_labels_are_counted(clip: clip_results.ClipResults) -> None:
    head, _, *rows = map(cells, tracks.identity_table([clip], Bundle(shipped.BUNDLE).vocabulary))
    found = [dict(zip(head, row, strict=True)) for row in rows]
    by_labels, by_model = (
        [one["frames of them"] for one in found if one["masks"] == masks] for masks in ("labels'", "model's")
    )
    assert by_labels == by_model  # here, they are the same masks
    plain = found[0]
    assert plain["numbers"].startswith("none")
    assert int(plain["things found"]) > 2


def test_tables_go_where_the_page_wants_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- flicker -->\nold\n<!-- end -->\nb\n<!-- identity -->\n<!-- end -->\n")
    monkeypatch.setattr(tracks, "PAGE", page)
    text = tracks._with_tables({"flicker": "| 1 |", "identity": "| 2 |"})
    assert text == "a\n<!-- flicker -->\n\n| 1 |\n\n<!-- end -->\nb\n<!-- identity -->\n\n| 2 |\n\n<!-- end -->\n"
