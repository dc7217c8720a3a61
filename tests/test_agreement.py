"""Each measure by hand, and that there is no second definition of it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from cgsam_edge.agreement import (
    MIN_PIXELS,
    Deviation,
    Overlap,
    deviation,
    holds,
    is_held,
    label_overlap,
    labelled_pixels,
    logit_error,
    mask_iou,
    mask_ious,
    overlap,
    spread_evenly,
)

ROOT = Path(__file__).parents[1]


def rows(first: int, last: int) -> np.ndarray:
    """A mask (20, 20) of whole rows, 20 pixels each."""
    mask = np.zeros((20, 20), bool)
    mask[first:last] = True
    return mask


def test_mask_iou() -> None:
    assert overlap(rows(0, 10), rows(5, 15)) == Overlap(100, 300)
    assert mask_iou(rows(0, 10), rows(5, 15)) == 1 / 3
    assert mask_iou(rows(0, 10), rows(10, 20)) == 0
    assert mask_iou(rows(0, 0), rows(0, 0)) == 1
    assert overlap(rows(0, 10), rows(5, 15), ~rows(0, 6)) == Overlap(80, 180)
    assert mask_ious(np.stack([rows(0, 10), rows(0, 0)]), np.stack([rows(0, 5), rows(0, 1)])) == [0.5, 0]
    with pytest.raises(ValueError, match="zip"):
        mask_ious(np.stack([rows(0, 10)] * 2), np.stack([rows(0, 5)]))


def test_overlaps_add_up() -> None:
    assert (Overlap(1, 2) + Overlap(3, 6)).iou == 0.5


def test_ignored_pixels_do_not_count_towards_holding_a_concept() -> None:
    truth, valid = rows(0, 6), ~rows(0, 1)
    assert (labelled_pixels(truth), labelled_pixels(truth, valid), labelled_pixels(None)) == (120, MIN_PIXELS, 0)
    assert (holds(truth), holds(truth, valid), holds(None)) == (True, False, False)
    assert (is_held(MIN_PIXELS), is_held(MIN_PIXELS + 1)) == (False, True)
    assert label_overlap(rows(0, 3), truth) == Overlap(60, 120)
    assert label_overlap(rows(0, 3), truth, valid) is None
    assert label_overlap(rows(0, 3), None) is None


def test_deviation_is_in_deviations_of_the_expected() -> None:
    expected = np.asarray([-2, 2, -2, 2], np.float32)
    assert deviation(expected, expected + np.asarray([4, 0, 0, 0], np.float32)) == Deviation(1.0, 2.0)
    assert deviation(np.ones(4, np.float32), np.zeros(4, np.float32)) == Deviation(1.0, 1.0)
    assert math.isnan(deviation(expected, np.full(4, np.nan, np.float32)).rms)
    assert math.isinf(deviation(expected, np.full(4, np.inf, np.float32)).max)
    with pytest.raises(ValueError, match=r"expected a tensor of shape \(4,\), got \(1,\)"):
        deviation(expected, expected[:1])


def test_logits_of_another_size_are_compared_at_the_expected_ones_size() -> None:
    expected = np.asarray([[-1, 1], [-1, 1]], np.float32)
    assert logit_error(expected, np.repeat(np.repeat(expected, 3, 0), 3, 1)) == Deviation(0.0, 0.0)
    large = np.repeat(np.repeat(expected, 2, 0), 2, 1)  # 2 by 2 becomes 4 by 4: -1, -0.5, 0.5, 1 in each row
    assert logit_error(large, expected) == Deviation(math.sqrt(0.125), 0.5)


def test_items_are_spread_evenly() -> None:
    assert spread_evenly("abcdefghij", 4) == ("a", "c", "f", "h")
    assert spread_evenly("abc", 3) == spread_evenly("abc", 9) == ("a", "b", "c")
    assert spread_evenly("abc", 1) == ("a",)
    assert spread_evenly("", 2) == ()


INTERSECTION = re.compile(r"\(\w[\w.\[\]\"]* & \w[\w.\[\]\"]*\)\.sum\(")


@pytest.mark.parametrize("room", ["cgsam_edge", "export", "calibration", "runtimes", "benchmarks"])
def test_no_other_file_counts_the_pixels_of_two_masks(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        text = path.read_text(encoding="utf-8")
        if path.name not in {"agreement.py", "screening_fit.py"}:  # which counts images
            assert not INTERSECTION.search(text), path
            assert "MIN_PIXELS" not in text, path
