"""Identity scores, counted by hand."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cgsam_edge.quality.identity import IdentityJudge, IdentityScore, Numbered, labelled_things


def square(x: int, side: int = 12) -> NDArray[np.bool_]:
    mask = np.zeros((40, 80), bool)
    mask[10 : 10 + side, x : x + side] = True
    return mask


def test_switches_ids_and_matches_are_counted() -> None:
    """A thing is number 1, 1, unseen, 2, 1; another is never found by a track of the same concept."""
    judge = IdentityJudge()
    for numbers in ([1], [1], [], [2], [1]):
        things = [Numbered(7, "car", square(5)), Numbered(8, "car", square(50))]
        tracks = [Numbered(n, "car", square(6)) for n in numbers] + [Numbered(9, "tree", square(50))]
        judge.add(things, tracks)
    score = judge.score()
    assert score == IdentityScore(frames=5, things=1, ids=2, switches=2, visible=10, matched=4)
    assert score.switches_per_100 == 40
    assert score.ids_per_thing == 2
    assert (score + score).matched == 8
    assert math.isnan(IdentityScore().ids_per_thing)


def test_the_better_match_counts_and_half_is_needed() -> None:
    judge = IdentityJudge()
    judge.add([Numbered(1, "car", square(5))], [Numbered(3, "car", square(9)), Numbered(4, "car", square(6))])
    judge.add([Numbered(1, "car", square(5))], [Numbered(3, "car", square(5)), Numbered(4, "car", square(10))])
    judge.add([Numbered(1, "car", square(5))], [Numbered(4, "car", square(10))])  # IoU 7 / 17
    assert (judge.score().switches, judge.score().matched) == (1, 2)


def test_labelled_things_are_split_by_number_and_small_ones_left_out() -> None:
    labels, ids = np.full((40, 80), 11, np.uint8), np.zeros((40, 80), np.uint16)
    for number, x, side, concept in ((5, 2, 12, 8), (6, 20, 10, 8), (7, 40, 11, 8), (9, 60, 12, 2)):
        labels[square(x, side)], ids[square(x, side)] = concept, number
    found = labelled_things(labels, ids, {8: "car"})
    assert [(one.id, one.concept, int(one.mask.sum())) for one in found] == [(5, "car", 144), (7, "car", 121)]
