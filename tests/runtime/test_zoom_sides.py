"""A zoomed mask that stops short of a side of its box is extended to it, within limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cgsam_edge import strips
from cgsam_edge.results import ABSENT_LOGIT
from cgsam_edge.zoom import NO_SHORTFALL, Near, ZoomedConcept, zoomed
from cgsam_edge.zoom_sides import ALONG, EDGE, MAX_BOOST, REACH, boost, shortfall
from tests.live import scripted
from tests.runtime.test_zoom_windows import SIZE, prompt

BOX = [100, 60, 300, 260]
"""200 pixels wide and high."""


def cone(slope: float, radius: float = 80) -> np.ndarray:
    """Logits of a disc in the middle of the box, float32 (300, 400), that fall evenly with the distance from it."""
    ys, xs = np.mgrid[:300, :400] + 0.5
    logits: np.ndarray = (slope * (radius - np.hypot(xs - 200, ys - 160))).astype(np.float32)
    return logits


def found(
    logits: np.ndarray,
    points: Sequence[Sequence[float]] = (),
    labels: Sequence[int] = (),
    box: Sequence[float] = BOX,
) -> ZoomedConcept:
    """A result of one window, which is the whole picture, with as many logits as pixels."""
    square = np.repeat(np.repeat(logits, 4, axis=0), 3, axis=1)  # windows have square logits
    base = scripted.concept("car", square, SIZE)
    given = prompt(box, np.reshape(points, (-1, 2)), labels)
    return zoomed(base, [Near((0, 0, *SIZE), square)], None, given, SIZE)


def ends(mask: np.ndarray) -> tuple[int, int, int, int]:
    """First and last column and row of a mask, as a box."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def test_a_mask_reaches_all_sides_of_its_box(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = cone(0.1)
    one = found(logits)
    assert ends(logits > 0) == pytest.approx((120, 80, 280, 240), abs=1)
    assert ends(one.mask) == pytest.approx(BOX, abs=EDGE * 200 + 1)
    assert (one.logits > 0).sum() > (one.near[0].logits > 0).sum()  # the small view of it too
    assert len(one.objects()) == 1
    away = round(200 * (EDGE + REACH)) + 1
    inner = slice(60 + away, 260 - away), slice(100 + away, 300 - away)
    np.testing.assert_allclose(one.full_logits()[inner], logits[inner], atol=1e-2)
    assert (one.full_logits()[:60] == ABSENT_LOGIT).all()
    whole = one.mask
    monkeypatch.setattr(strips, "STRIP_BYTES", 20_000)
    assert len([*one.logit_strips()]) > 5
    assert np.array_equal(one.full_logits() > 0, whole)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("offset", [0, 0.3, 0.6])
@pytest.mark.parametrize("width", [3, 4, 8, 16, 20, 60])
def test_masks_in_narrow_boxes_reach_their_sides(width: int, offset: float, turned: bool) -> None:
    first, last = 200 + offset, 200 + offset + width
    xs = np.arange(400) + 0.5
    row = 2.5 * (0.25 - np.abs(xs - (first + last) / 2) / width)  # the middle half, and 0.6 less at the sides
    across = np.tile(row, (400, 1)).astype(np.float32)[:300]
    logits = np.ascontiguousarray(np.tile(row[:300, None], (1, 400)).astype(np.float32)) if turned else across
    box = [100, first, 300, last] if turned else [first, 50, last, 250]
    one = found(logits, box=box)
    reached = np.array(ends(one.mask))[[1, 3] if turned else [0, 2]]
    np.testing.assert_allclose(reached, [first, last], atol=max(1, EDGE * width) + 1e-3)


def test_each_side_is_raised_around_its_best_place() -> None:
    logits = cone(0.1)
    logits[:, 200:] += 5  # on the right the mask reaches far over the box

    def at(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        seen: np.ndarray = logits[np.ix_(ys.astype(int), xs.astype(int))]
        return seen

    box = np.array(BOX, np.float32)
    left, *others = shortfall(at, box)
    assert left[0] == pytest.approx(1.45, abs=0.06)  # the pixels within 3 % of the box end 14 from the mask
    assert left[1] == pytest.approx(160, abs=1)
    assert [side[0] for side in others] == [0, 0, 0]
    short = np.array([[2, 160], [0, 0], [0, 0], [1, 250]], np.float32)
    half = 200 * (EDGE + REACH / 2)
    more = boost(short, box, np.array([100, 100 + half, 250]), np.array([160, 160 + 200 * (EDGE + ALONG / 2), 259.5]))
    np.testing.assert_allclose(more, np.array([[2, 1, 0], [1, 0.5, 0], [0, 0, 1]]), atol=0.2)
    np.testing.assert_allclose(more[:, :2], np.array([[2, 1], [1, 0.5], [0, 0]]), atol=1e-3)


@pytest.mark.parametrize(("slope", "reached"), [(0.2, True), (0.213, False)])
def test_where_the_model_is_sure_the_mask_stays(slope: float, reached: bool) -> None:
    one, clicked = found(cone(slope)), found(cone(slope), [[200, 160]], [1])
    assert one.shortfall[:, 0].all() == one.shortfall[:, 0].any() == reached
    assert one.shortfall[:, 0].max() < MAX_BOOST + 0.01
    assert np.array_equal(one.mask, clicked.mask) != reached


@pytest.mark.parametrize("ground", [-1, -2, -2.9])
def test_no_part_of_a_flat_background_joins_a_mask_that_is_far_from_the_sides(ground: float) -> None:
    logits = np.full((300, 400), ground, np.float32)
    logits[140:180, 180:220] = 2
    one = found(logits)
    assert ends(one.mask) == pytest.approx((180, 140, 220, 180), abs=1)
    np.testing.assert_array_equal(one.shortfall[:, 0], 0)


def test_clicks_and_empty_masks_leave_logits_alone() -> None:
    assert found(cone(0.1)).shortfall.any()
    np.testing.assert_array_equal(found(cone(0.1), [[105, 160]], [0]).shortfall, NO_SHORTFALL)
    empty = found(cone(0.1, radius=-5))
    assert not empty.shortfall[:, 0].any()
    assert not empty.mask.any()


def test_a_side_of_many_pixels_is_looked_at_in_places() -> None:
    size, sizes = (20_000, 20_000), []

    def at(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        sizes.append(len(xs) * len(ys))
        assert (np.diff(xs) > 0).all()
        assert (np.diff(ys) > 0).all()
        return np.where(np.outer(ys < size[1] * 0.8, xs > 0), np.float32(1), -2).astype(np.float32)

    *others, lower = shortfall(at, np.array([0, 0, *size], np.float32))
    assert [side[0] for side in others] == [0, 0, 0]
    assert lower[0] == pytest.approx(2, abs=0.01)
    assert max(sizes) <= 2**15


@pytest.mark.parametrize("low", [-1, 0.5])
@pytest.mark.parametrize("box", [[10.2, 20, 10.7, 20.4], [0, 0, 1, 300], [399.6, 299.7, 400, 300]])
def test_boxes_of_parts_of_a_pixel(box: list[float], low: float) -> None:
    given = np.asarray(box, np.float32)

    def at(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        return np.tile(np.linspace(low, 2, len(xs), dtype=np.float32), (len(ys), 1))

    short = shortfall(at, given)
    assert np.isfinite(short).all()
    assert np.isfinite(boost(short, given, given[:1], given[1:2])).all()
