"""How the logits of windows become one mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cgsam_edge.results import ABSENT_LOGIT
from cgsam_edge.zoom import Near, blended, combined
from cgsam_edge.zoom_windows import windows_of
from tests.live import scripted
from tests.runtime.test_zoom_windows import SIZE, prompt


@pytest.mark.parametrize(("labels", "expected"), [([], 0.25), ([0], 0.25), ([1], 1), ([0, 1], 1)])
def test_the_part_of_a_box_counts_by_presence_or_by_a_click(labels: list[int], expected: float) -> None:
    without = scripted.concept("car", np.zeros((4, 4), np.float32), SIZE, presence=0.5)
    boxed = replace(without, logits=np.full((4, 4), 8.0, np.float32), labels=np.asarray(labels, np.float32))
    np.testing.assert_array_equal(combined(without, boxed).logits, 8 * expected)
    assert combined(without, boxed).presence == 0.5


def test_one_logit_everywhere_stays_that_logit() -> None:
    windows = windows_of(prompt([0, 20, 390, 290]), SIZE, 128)
    assert len(windows) > 6
    near = [Near(window, np.full((32, 32), 3.0, np.float32)) for window in windows]
    box, xs, ys = np.asarray([0, 20, 390, 290], np.float32), np.arange(400) + 0.5, np.arange(300) + 0.5
    found = blended(near, np.full((32, 32), 3.0, np.float32), box, SIZE, xs, ys)
    np.testing.assert_allclose(found[20:290, :390], 3, rtol=1e-5)
    assert {*found[:20].ravel(), *found[:, 390:].ravel()} == {ABSENT_LOGIT}


def test_a_window_decides_up_to_the_pictures_edge_and_less_at_its_own() -> None:
    near, whole = [Near((0, 0, 160, 120), np.full((32, 32), 3.0, np.float32))], np.full((32, 32), -3.0, np.float32)
    xs, ys = np.arange(400) + 0.5, np.arange(300) + 0.5
    found = blended(near, whole, None, SIZE, xs, ys)
    assert found[0, 0] == pytest.approx((3 - 0.15) / 1.05, abs=1e-3)
    assert found[60, 159] == pytest.approx(-3, abs=0.3)
    assert found[60, 170] == -3
    corner = [Near((240, 180, 400, 300), near[0].logits)]
    found = blended(corner, whole, None, SIZE, xs, ys)
    assert found[299, 399] == pytest.approx((3 - 0.15) / 1.05, abs=1e-3)
    assert found[240, 240] == pytest.approx(-3, abs=0.3)
