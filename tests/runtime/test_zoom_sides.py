"""A zoomed mask that falls short of a side of its box is drawn towards it, within limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cgsam_edge import strips
from cgsam_edge.results import ABSENT_LOGIT
from cgsam_edge.zoom import NOTHING, Near, ZoomedConcept, zoomed
from cgsam_edge.zoom_sides import EDGE, MOST, REACH, lacking, raised
from tests.live import scripted
from tests.runtime.test_zoom_windows import SIZE, prompt

BOX = [100, 60, 300, 260]
"""200 pixels wide and high."""


def cone(slope: float, radius: float = 80) -> np.ndarray:
    """Logits of a disc in the middle of the box, float32 (300, 400), that fall evenly with the distance from it."""
    ys, xs = np.mgrid[:300, :400] + 0.5
    logits: np.ndarray = (slope * (radius - np.hypot(xs - 200, ys - 160))).astype(np.float32)
    return logits


def found(logits: np.ndarray, points: Sequence[Sequence[float]] = (), labels: Sequence[int] = ()) -> ZoomedConcept:
    """A result of one window, which is the whole picture, with as many logits as pixels."""
    square = np.repeat(np.repeat(logits, 4, axis=0), 3, axis=1)  # windows have square logits
    base = scripted.concept("car", square, SIZE)
    given = prompt(BOX, np.reshape(points, (-1, 2)), labels)
    return zoomed(base, [Near((0, 0, *SIZE), square)], None, given, SIZE)


def test_a_mask_reaches_all_sides_of_its_box(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = cone(0.1)
    one = found(logits)
    rows, columns = np.flatnonzero(one.mask.any(1)), np.flatnonzero(one.mask.any(0))
    assert (logits[158:162, 100:118] < -0.1).all()  # 20 pixels are missing on each side
    near, away = 1 + EDGE * 200, round(200 * (EDGE + REACH)) + 1
    assert columns[0] == pytest.approx(100, abs=near)
    assert columns[-1] == pytest.approx(299, abs=near)
    assert rows[0] == pytest.approx(60, abs=near)
    assert rows[-1] == pytest.approx(259, abs=near)
    assert (one.logits > 0).sum() > (one.near[0].logits > 0).sum()  # the small view of it too
    inner = slice(60 + away, 260 - away), slice(100 + away, 300 - away)
    np.testing.assert_allclose(one.full_logits()[inner], logits[inner], atol=1e-2)
    assert (one.full_logits()[:60] == ABSENT_LOGIT).all()
    monkeypatch.setattr(strips, "STRIP_BYTES", 20_000)
    assert len([*one.logit_strips()]) > 5
    np.testing.assert_allclose(one.full_logits()[inner], logits[inner], atol=1e-2)
    assert np.array_equal(np.flatnonzero((one.full_logits() > 0).any(0)), columns)


def test_each_side_is_raised_by_what_it_lacks() -> None:
    logits = cone(0.1)
    logits[:, 200:] += 5  # on the right the mask reaches far over the box

    def at(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        seen: np.ndarray = logits[np.ix_(ys.astype(int), xs.astype(int))]
        return seen

    left, top, right, bottom = lacking(at, np.asarray(BOX, np.float32))
    assert left == pytest.approx(1, abs=0.1)  # the pixels within a twentieth of the side end 10 from the mask
    assert right == top == bottom == 0
    lacks, box = np.array([2, 0, 0, 1], np.float32), np.array(BOX, np.float32)
    more = raised(lacks, box, np.array([100, 140, 170, 250]), np.array([160, 259.5]))
    np.testing.assert_allclose(more, [[2, 1, 0, 0], [2, 1, 1, 1]], atol=0.02)


@pytest.mark.parametrize(("slope", "reached"), [(0.28, True), (0.32, False)])
def test_where_the_model_is_sure_the_mask_stays(slope: float, reached: bool) -> None:
    one, clicked = found(cone(slope)), found(cone(slope), [[200, 160]], [1])
    assert one.lacks.all() == one.lacks.any() == reached
    assert one.lacks.max() < MOST + 0.01
    assert np.array_equal(one.mask, clicked.mask) != reached


def test_clicks_and_empty_masks_leave_logits_alone() -> None:
    assert found(cone(0.1)).lacks.any()
    for one in (found(cone(0.1), [[105, 160]], [0]), found(cone(0.1, radius=-5))):
        np.testing.assert_array_equal(one.lacks, NOTHING)
    assert not found(cone(0.1, radius=-5)).mask.any()


@pytest.mark.parametrize("box", [[10.2, 20, 10.7, 20.4], [0, 0, 1, 300], [399.6, 299.7, 400, 300]])
def test_boxes_of_parts_of_a_pixel(box: list[float]) -> None:
    given = np.asarray(box, np.float32)
    lacks = lacking(lambda xs, ys: np.full((len(ys), len(xs)), 0.5, np.float32), given)
    np.testing.assert_array_equal(lacks, NOTHING)
    lacks = lacking(lambda xs, ys: np.where(np.outer(ys, xs) > 0, np.float32(1), 0), given)
    assert np.isfinite(lacks).all()
