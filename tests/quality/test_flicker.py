"""Flicker, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cgsam_edge.quality.flicker import FlickerJudge, FlickerScore
from tests.live.scripted import boxes, result

SIDE = (40, 40)
CAR = {8: "car"}


def judged(
    masks: list[tuple[int, int, int, int] | None], labels: list[tuple[int, int, int, int] | None]
) -> FlickerScore:
    """Return the score of a clip whose masks and labels are boxes."""
    score = FlickerScore()
    judge = FlickerJudge(score, CAR)
    for mask, label in zip(masks, labels, strict=True):
        found = result({"car": boxes(SIDE, *([mask] if mask else []))})
        judge.add(np.where(boxes(SIDE, *([label] if label else [])), 8, 11).astype(np.uint8), dict(found))
    return score


def test_steadiness_and_accuracy() -> None:
    """The label moves by a quarter of its width, then stands; the mask is half as high, and gone once."""
    labels: list[tuple[int, int, int, int] | None] = [(0, 0, 16, 16), (4, 0, 16, 16), (4, 0, 16, 16)]
    score = judged([(0, 0, 16, 8), (4, 0, 16, 8), None], labels)
    assert score.label_steadiness == pytest.approx([12 / 20, 1])
    assert score.steadiness == pytest.approx([12 / 20, 0])
    assert score.accuracy == pytest.approx([0.5, 0.5, 0])
    assert score.right == [True, True, False]
    assert (score.frames, score.blinks) == (3, 1)
    assert score.blinks_per_100 == pytest.approx(100 / 3)


def test_a_change_that_the_labels_share_is_no_blink() -> None:
    here = (5, 5, 16, 16)
    score = judged([None, here, None, here, None], [None, here, here, here, None])
    assert score.blinks == 2
    assert score.steadiness == [0, 0]
    assert score.right == [True, True, False, True, True]


def test_nothing_in_either_frame_is_left_out() -> None:
    here = (5, 5, 16, 16)
    score = judged([None, None, None], [here, here, None])
    assert (score.steadiness, score.label_steadiness, score.blinks) == ([], [], 0)
    assert score.accuracy == [0, 0]
