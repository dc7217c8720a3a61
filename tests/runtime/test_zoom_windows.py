"""Where zoom looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cgsam_edge.prompts import Clicks
from cgsam_edge.zoom_windows import Window, holds, inside, windows_of

SIZE = (400, 300)
BOX = [100, 120, 180, 150]
NONE = np.zeros((0, 2), np.float32)


def prompt(box: Sequence[float] | None, points: Any = NONE, labels: Any = ()) -> Clicks:
    return Clicks(
        np.asarray(points, np.float32),
        np.asarray(labels, np.float32),
        None if box is None else np.asarray(box, np.float32),
    )


def covered(windows: list[Window], size: tuple[int, int] = SIZE) -> np.ndarray:
    seen = np.zeros(size[::-1], int)
    for left, top, right, bottom in windows:
        seen[top:bottom, left:right] += 1
    return seen


def sides(windows: list[Window]) -> list[tuple[int, int]]:
    return [(right - left, bottom - top) for left, top, right, bottom in windows]


def test_a_box_has_windows_of_two_scales_and_of_the_pictures_proportions() -> None:
    wide, narrow = (80, 90, 200, 180), (92, 99, 188, 171)  # 1.5 and 1.2 times 80 wide, and 3/4 of that high
    assert windows_of(prompt(BOX), SIZE, 128) == [wide, narrow]
    small = windows_of(prompt([0, 290, 4, 300]), SIZE, 128)
    assert small == [(0, 285, 20, 300), (0, 287, 18, 300)]  # the second has a tenth of the model's side, the least
    assert windows_of(prompt([0, 290, 4, 300]), SIZE, 256) == [(0, 274, 35, 300)]  # the least of both scales
    assert windows_of(prompt([0, 290, 4, 300]), SIZE, 2600) == []  # which would be nearly all of this picture


def test_the_windows_of_a_box_have_limits() -> None:
    windows = windows_of(prompt([100, 100, 260, 130]), SIZE, 128)  # 0.4 of the width
    assert windows == [(100, 55, 260, 175), (88, 70, 208, 160), (152, 70, 272, 160)]


def test_a_box_over_most_of_the_picture_has_windows_of_one_scale() -> None:
    for width, count in ((240, 2), (241, 1)):
        assert len({*sides(windows_of(prompt([0, 20, width, 100]), SIZE, 128))}) == count


def test_windows_share_a_greater_box() -> None:
    windows = windows_of(prompt([0, 20, 390, 200]), SIZE, 128)
    assert {*sides(windows)} == {(160, 120)}
    seen = covered(windows)
    assert seen[20:200, 0:390].min() >= 1
    assert seen[212:].max() == 0  # a tenth of a window further down
    assert sorted({left for left, *_ in windows}) == [0, 120, 240]
    flat = windows_of(prompt([0, 20, 390, 120]), SIZE, 128)
    assert {top for _, top, *_ in flat} == {10}  # one window is high enough


@pytest.mark.parametrize(("size", "side"), [(SIZE, 128), ((129, 129), 512), ((512, 512), 512)])
def test_the_windows_of_each_scale_cover_the_box_and_none_is_there_twice(size: tuple[int, int], side: int) -> None:
    rng, most = np.random.default_rng(0), {0.3: 2, 0.4: 5, 0.6: 13, 1.0: 9}
    for _ in range(300):
        low = rng.random(2) * size * 0.9
        high = low + 1 + rng.random(2) * (np.asarray(size) - low - 1)
        box = np.concatenate([low, high]).astype(np.float32)
        windows = windows_of(prompt(box.tolist()), size, side)
        assert len({*windows}) == len(windows)
        share = float(((high - low) / size).max())
        assert len(windows) <= most[next(limit for limit in most if share <= limit)]
        for left, top, right, bottom in windows:
            assert 0 <= left < right <= size[0]
            assert 0 <= top < bottom <= size[1]
        for one in {*sides(windows)}:
            same = [window for window in windows if sides([window]) == [one]]
            if not all(holds(window, box) for window in same):
                (x0, y0), (x1, y1) = np.ceil(low).astype(int), np.floor(high).astype(int)
                assert covered(same, size)[y0:y1, x0:x1].min(initial=1) >= 1


@pytest.mark.parametrize("box", [[10, 10, 190, 140], [0, 0, 180, 130]])
def test_boxes_near_the_limit_have_windows_that_differ(box: list[int]) -> None:
    """Wherever a box lies, windows of one scale are over a seventh of their sides apart."""
    windows = windows_of(prompt(box), SIZE, 128)
    assert {*sides(windows)} == {(160, 120), (120, 90)}
    for i, one in enumerate(windows):
        for other in windows[:i]:
            if sides([one]) == sides([other]):
                width, height = sides([one])[0]
                assert max(abs(one[0] - other[0]) / width, abs(one[1] - other[1]) / height) > 1 / 7


def test_clicks_have_windows_around_them_and_share_near_ones() -> None:
    windows = windows_of(prompt(None, [[200, 150], [220, 140], [10, 290]], [1, 0, 1]), SIZE, 128)
    assert windows == [(120, 90, 280, 210), (0, 180, 160, 300)]
    corner = prompt(None, [[400, 300], [399, 299], [398, 300]], [1, 1, 0])  # whose windows are moved inwards
    assert windows_of(corner, SIZE, 128) == [(240, 180, 400, 300)]
    corner = prompt(None, [[0, 0], [1, 1], [2, 0]], [1, 1, 0])
    assert windows_of(corner, SIZE, 128) == [(0, 0, 160, 120)]


def test_a_quarter_of_the_sides_is_near() -> None:
    for x, count in ((239, 1), (241, 2)):
        assert len(windows_of(prompt(None, [[200, 150], [x, 150]], [1, 1]), SIZE, 128)) == count


def test_every_click_lies_in_a_window() -> None:
    """Near an edge, the window of an earlier click may end before a later one, however near their windows are."""
    rng = np.random.default_rng(1)
    several = [np.array([[281, 150], [399, 150]]), *(rng.random((rng.integers(1, 6), 2)) * SIZE for _ in range(300))]
    for points in several:
        given = prompt(None, points, np.ones(len(points)))
        windows = windows_of(given, SIZE, 128)
        for point in given.points:
            assert any(
                (left == 0 or point[0] >= left + 40)
                and (right == 400 or point[0] <= right - 40)
                and (top == 0 or point[1] >= top + 30)
                and (bottom == 300 or point[1] <= bottom - 30)
                for left, top, right, bottom in windows
            )


def test_prompts_move_with_the_window() -> None:
    given = prompt(BOX, [[100, 130], [10, 10], [80, 90], [200, 180]], [1, 0, 0, 1])
    found = inside(given, (80, 90, 200, 180))  # its corners are inside too
    np.testing.assert_array_equal(found.points, [[20, 40], [0, 0], [120, 90]])
    np.testing.assert_array_equal(found.labels, [1, 0, 1])
    np.testing.assert_array_equal(found.box, [20, 30, 100, 60])


def test_a_window_sees_its_part_of_the_box() -> None:
    given, window = prompt(BOX), (120, 100, 160, 140)
    assert not holds(window, np.asarray(BOX, np.float32))
    np.testing.assert_array_equal(inside(given, window).box, [0, 20, 40, 40])
    assert inside(prompt(None, [[130, 110]], [1]), window).box is None


def test_one_window_holds_all_of_a_box_that_fits() -> None:
    """Its edges may lie between pixels, so that the window misses a part of one."""
    box = [32.23, 59.23, 56.2, 387.97]
    window, *_ = windows_of(prompt(box), (60, 1080), 128)
    assert box[2] > window[2]
    assert holds(window, np.asarray(box, np.float32))
    part = inside(prompt(box), window).box
    assert part is not None
    assert part.tolist() == pytest.approx([0.23, 51.23, 24, 379.97], rel=1e-5)
