"""The legend of an overlay: what stands in it, in which order, and how it looks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cgsam_edge.legend import LegendRow, rows, with_legend
from cgsam_edge.results import ConceptResult, Result


def concept(
    name: str, *, pixels: int, present: bool = True, presence: float = 0.9, score: float = 0.7
) -> ConceptResult:
    """A concept in an image of 20 by 10 pixels, of which the first ``pixels`` are its mask."""
    logits = np.full((10, 20), -1, np.float32)
    logits.reshape(-1)[:pixels] = 1
    none = np.zeros((0, 2), np.float32)
    return ConceptResult(
        name, logits, score, presence, present, np.zeros(7, np.float32), np.zeros((2, 2), np.float32),
        none, none[:, 0], None, (20, 10),
    )  # fmt: skip


def test_rows_tell_area_presence_and_score_and_absent_ones_come_last() -> None:
    found = [
        concept("tree", pixels=40, present=False, presence=0.21),
        concept("car", pixels=50, presence=0.934, score=0.876),
        concept("pole", pixels=1, presence=1.0, score=-0.004),
    ]
    red, green, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    assert rows(found, [red, green, blue]) == [
        LegendRow("car", green, ("25 %", "0.93", "0.88")),
        LegendRow("pole", blue, ("< 1 %", "1.00", "0.00")),
        LegendRow("tree", None, ("absent", "0.21", "")),
    ]


@pytest.mark.parametrize("size", [(512, 512), (90, 60)])
def test_the_width_depends_on_the_names_alone(size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size)
    here, gone = (
        LegendRow("car", (255, 0, 0), ("100 %", "1.00", "-0.25")),
        LegendRow("car", None, ("absent", "0.00", "")),
    )
    assert with_legend(picture, [here]).size == with_legend(picture, [gone]).size
    assert with_legend(picture, [here]).height == size[1]
    longer = LegendRow("a much longer name", None, ("absent", "0.00", ""))
    assert with_legend(picture, [longer]).width > with_legend(picture, [gone]).width
    assert with_legend(picture, []) is picture


def test_an_absent_concept_has_no_colour_and_grey_words() -> None:
    picture = Image.new("RGB", (400, 400))
    red = LegendRow("car", (255, 0, 0), ("6 %", "0.93", "0.70"))
    grey = LegendRow("car", None, ("absent", "0.10", ""))
    shown, hidden = (np.asarray(with_legend(picture, [row]))[:, 400:].astype(int) for row in (red, grey))
    assert (shown == (255, 0, 0)).all(axis=2).any()
    assert (shown == 255).all(axis=2).any()
    assert (np.ptp(hidden, axis=2) == 0).all()  # no colour at all
    assert hidden.max() < 200


def test_points_are_small_and_inside_differs_from_outside() -> None:
    picture = Image.new("RGB", (640, 640), (90, 90, 90))
    none = np.full((2, 2), -1, np.float32)
    one = ConceptResult(
        "car", none, 0.5, 0.5, True, np.zeros(7, np.float32), np.zeros((2, 2), np.float32),
        np.array([[100, 100], [300, 300]], np.float32), np.array([1, 0], np.float32), None, (640, 640),
    )  # fmt: skip
    drawn = np.asarray(Result(picture, {"car": one}).overlay())[:, :640]
    assert tuple(drawn[100, 100]) == (255, 255, 255)
    assert tuple(drawn[300, 300]) == (0, 0, 0)
    changed = (drawn != 90).any(axis=2)
    assert 20 < changed.sum() < 140  # two dots of some seven pixels across
