"""What passes the gate: labels where there are some, else other draws of the points as the unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.agreement import Overlap
from cgsam_edge.manifest import Prompting
from cgsam_edge.prompts import priority, text_points
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.judge import GateLimits, TargetQuality
from cgsam_edge.quality.labels import LabelledImage
from cgsam_edge.quality.pairs import MaskPair
from cgsam_edge.quality.verdicts import gate_summary

PROMPTING = Prompting(0.8, 5, 255.0, 16, ("text",), "tokens")


def pairs(ious: Sequence[float], drawn: float | None = None) -> tuple[MaskPair, ...]:
    return tuple(MaskPair(Path(f"{i}.png"), "car", iou, drawn=drawn) for i, iou in enumerate(ious))


def judged(found: Sequence[MaskPair], **limits: float) -> TargetQuality:
    return TargetQuality("openvino", tuple(found), GateLimits(**limits))


def test_masks_may_differ_by_a_share_of_what_other_points_do() -> None:
    """Other points give 0.8, so that the unit is 0.2 and half of it is allowed."""
    passing, failing = judged(pairs([0.91, 0.91], 0.8)), judged(pairs([0.88, 0.88], 0.8))
    assert passing.least_iou == pytest.approx(0.9)
    assert passing.disagreement == pytest.approx(0.45)
    assert passing.passed
    assert not failing.passed
    assert failing.shortfall == pytest.approx(0.02)
    (problem,) = failing.problems
    assert problem == (
        "mean mask IoU 0.8800, at least 0.9 is needed (0.60 of the unit, at most 0.5; other points give 0.8000)"
    )


def test_where_other_points_move_nothing_098_is_needed() -> None:
    for drawn in (1.0, 0.999, None):
        assert judged(pairs([0.981], drawn)).passed
        assert not judged(pairs([0.979], drawn)).passed


def test_labels_decide_where_there_are_some() -> None:
    """Masks that share no more than half with PyTorch's are as good by labels, and the other way round."""
    before, equal, worse = Overlap(90, 100), Overlap(89, 100), Overlap(88, 100)
    other = [replace(pair, labelled_before=before, labelled_after=equal) for pair in pairs([0.5, 0.5], 0.9)]
    assert judged(other, max_drop=0.0101).passed
    assert judged(other).least_iou is None
    alike = [replace(pair, labelled_before=before, labelled_after=worse) for pair in pairs([0.999], 0.9)]
    assert judged(alike).problems == ("class mIoU 0.9000 → 0.8800, a drop of 0.01 is allowed",)
    changed = [replace(pair, score_change=-0.03) for pair in other]
    assert judged(changed, max_drop=0.02).problems == ("scores changed by 0.0300 in the mean, at most 0.01 is allowed",)


def test_one_presence_decision_may_flip_and_three_of_two_hundred() -> None:
    def flipping(count: int, flips: int) -> TargetQuality:
        sound = pairs([1.0] * count, 0.8)
        return judged([replace(p, calibrated=True, present=i >= flips) for i, p in enumerate(sound)])

    assert [flipping(10, flips).passed for flips in (1, 2)] == [True, False]
    assert [flipping(200, flips).passed for flips in (3, 4)] == [True, False]
    assert flipping(200, 4).problems == ("4 of 200 presence decisions flipped, at most 3 may",)


def test_a_named_iou_takes_the_place_of_all_but_labels() -> None:
    found = [replace(p, calibrated=True, present=False) for p in pairs([0.3, 0.3], 0.9)]
    assert judged(found, min_iou=0.3).passed
    assert judged(found, min_iou=0.31).problems == ("mean mask IoU 0.3000, at least 0.31 is needed",)
    assert judged(found, min_iou=0.0).least_iou == 0.0
    assert not judged(found).passed


def test_nothing_and_nan_do_not_pass() -> None:
    assert not judged(()).passed
    assert judged(()).shortfall == math.inf
    assert not judged(pairs([math.nan], 0.8)).passed


def test_the_manifest_says_what_was_held_to_what() -> None:
    found = gate_summary(judged(pairs([0.91, 0.91], 0.8)))
    assert (found["passed"], found["mean_iou"], found["drawn_iou"]) == (True, 0.91, 0.8)
    assert (found["limit"], found["disagreement"]) == (pytest.approx(0.9), pytest.approx(0.45))
    assert found["limits"] == {
        "min_iou": None, "max_drop": 0.01, "max_disagreement": 0.5, "max_flips": 0.015, "max_score_change": 0.01,
    }  # fmt: skip


def test_another_draw_takes_other_points_among_the_same_candidates() -> None:
    full_map = np.zeros((64, 64), np.float32)
    full_map[10:30, 20:50] = 0.9
    draws = [text_points(full_map, PROMPTING, draw) for draw in range(3)]
    assert np.array_equal(draws[0], text_points(full_map, PROMPTING))
    for points in draws:
        assert len(np.unique(points, axis=0)) == 5
        assert (full_map[points[:, 1].astype(int), points[:, 0].astype(int)] > 0.8).all()
    assert not any(np.array_equal(a, b) for a, b in pairwise(draws))
    # the priorities of draw 2 are SplitMix64's outputs from the index 2**33 on
    y, x = np.divmod(np.flatnonzero(full_map.ravel() > 0.8), 64)
    ranked = np.argsort(priority((y * 64 + x + 2**33).astype(np.uint64)))[::-1][:5]
    assert np.array_equal(draws[2], np.stack([x[ranked], y[ranked]], axis=1))


@pytest.mark.filterwarnings("ignore:this model was trained")
def test_the_gate_measures_other_draws_of_the_reference(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((240, 180)).save(tmp_path / "a.png")
    picture = LabelledImage(tmp_path / "a.png")
    found = TargetQuality("x", Gate(tiny_segmenter, [picture]).measure(tiny_segmenter), GateLimits())
    assert found.mean_iou == 1.0
    assert found.score_change == 0.0
    assert found.drawn_iou is not None
    assert 0.0 < found.drawn_iou < 1.0
    assert found.passed
    without = TargetQuality("x", Gate(tiny_segmenter, [picture], draws=0).measure(tiny_segmenter), GateLimits())
    assert without.drawn_iou is None


def test_a_label_judges_its_own_mask_alone() -> None:
    """200 masks without a label are held to other draws, however many others have one."""
    label = replace(pairs([0.1], 0.9)[0], labelled_before=Overlap(90, 100), labelled_after=Overlap(90, 100))
    found = judged([*pairs([0.1] * 200, 0.9), label])
    (problem,) = found.problems
    assert problem == (
        "mean mask IoU of the 200 masks that no label judges 0.1000, at least 0.95 is needed "
        "(9.00 of the unit, at most 0.5; other points give 0.9000)"
    )
    assert gate_summary(found)["unlabelled"] == {"masks": 200, "mean_iou": pytest.approx(0.1)}
    assert found.least_iou == pytest.approx(0.95)
    assert found.least_of_all is None
    assert judged([*pairs([0.96] * 200, 0.9), label]).passed
    assert gate_summary(judged([label]))["unlabelled"] is None


def test_noise_where_labels_say_that_a_concept_is_absent_decides_nothing() -> None:
    label = replace(pairs([0.99], 0.9)[0], labelled_before=Overlap(90, 100), labelled_after=Overlap(90, 100))
    noise = [replace(pair, labelled_absent=True) for pair in pairs([0.1] * 3, 0.9)]
    assert judged([label, *noise]).passed
    assert judged([label, *noise]).least_iou is None
    assert not judged([label, *pairs([0.1] * 3, 0.9)]).passed
    assert not judged(noise).passed, "no label judges any mask"
    flipped = [replace(one, calibrated=True, present=False) for one in noise]
    assert judged([label, *flipped]).problems == ("3 of 3 presence decisions flipped, at most 1 may",)


def test_which_concepts_a_picture_says_are_absent() -> None:
    car, nothing, few = np.ones((20, 20), bool), np.zeros((20, 20), bool), np.eye(20, dtype=bool)
    masks = {"car": car, "road": nothing, "sign": few}
    picture = LabelledImage(Path("a.png"), masks, classes=frozenset([*masks, "tree"]))
    shown = {name: picture.shows_absent(name) for name in ("car", "road", "sign", "tree", "bench")}
    assert shown == {"car": False, "road": True, "sign": True, "tree": True, "bench": False}
    assert replace(picture, valid=few).shows_absent("car"), "of what is labelled, too few pixels count"
    assert not replace(picture, masks={"road": nothing}).shows_absent("tree"), "nobody may have labelled it"
