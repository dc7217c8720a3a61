"""Logits kept in bands, against OpenCV's interpolation of the whole in one piece."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from cgsam_edge import strips as strips_module
from cgsam_edge.presence import LogitCounts
from cgsam_edge.tiling.canvas import STEPS, LogitCanvas

RNG = np.random.default_rng(4)


def blobs(width: int, height: int) -> np.ndarray:
    noise = RNG.standard_normal((height, width)).astype(np.float32)
    return np.asarray(np.rint(cv2.GaussianBlur(noise, (0, 0), 3) * 100 * STEPS) / STEPS, np.float32)


def filled(values: np.ndarray, size: tuple[int, int], cell: int, width: int) -> LogitCanvas:
    canvas = LogitCanvas(size, cell)
    for left in range(0, values.shape[1], width):
        canvas.append(values[:, left : left + width])
    return canvas


@pytest.mark.parametrize("strip_bytes", [1, 5000, 2**40], ids=["narrow", "some", "one strip"])
@pytest.mark.parametrize(
    ("size", "cell"), [((97, 61), 4), ((640, 480), 4), ((256, 64), 1), ((1001, 333), 8), ((40, 5), 16)]
)
@pytest.mark.parametrize("width", [1, 7, 1000])
def test_strips_are_the_whole_interpolated(
    size: tuple[int, int], cell: int, width: int, strip_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips_module, "STRIP_BYTES", strip_bytes)
    columns, rows = -(-size[0] // cell), -(-size[1] // cell)
    values = blobs(columns, rows)
    values[: rows // 3] = values[-(rows // 4 + 1) :] = -1  # so that masks do not reach all rows
    canvas = filled(values, size, cell, width)
    found = list(canvas.strips())
    assert [part.start for part, _ in found] == [0, *(part.stop for part, _ in found[:-1])]
    whole = cv2.resize(values, (columns * cell, rows * cell), interpolation=cv2.INTER_LINEAR)[: size[1], : size[0]]
    np.testing.assert_allclose(np.concatenate([strip for _, strip in found], axis=1), whole, atol=1e-4)
    masks = list(canvas.mask_strips())
    assert [part for part, _ in masks] == [part for part, _ in found]
    for (_, mask), (_, strip) in zip(masks, found, strict=True):
        np.testing.assert_array_equal(mask, strip > 0)
    np.testing.assert_array_equal(np.concatenate([band for _, band in canvas.bands()], axis=1), values)


def test_steps_are_small_and_ends_are_kept() -> None:
    values = np.array([[0.003, -0.003, 1e6, -1e6], [1 / 128, -3.0, 7.5, 0.0]], np.float32)
    canvas = filled(values, (4, 2), 1, 4)
    _, kept = next(canvas.bands())
    assert kept.tolist() == [[0, 0, 32767 / 128, -32767 / 128], [1 / 128, -3, 7.5, 0]]


def test_counts_are_those_of_all_logits() -> None:
    values = blobs(200, 90)
    canvas, whole = filled(values, (200, 90), 1, 13), LogitCounts.of(values)
    assert canvas.counts.probability == pytest.approx(whole.probability, abs=1e-6)
    for name in ("total", "inside", "surely", "possibly"):
        assert getattr(canvas.counts, name) == getattr(whole, name)
    assert 0 < whole.surely < whole.inside < whole.possibly < whole.total == 18000
    assert LogitCounts().probability == LogitCounts.of(np.full((2, 2), -1, np.float32)).probability == 0.5


@pytest.mark.parametrize("to", [(20, 9), (7, 5), (200, 90), (300, 100)])
def test_a_small_view_is_the_mean(to: tuple[int, int]) -> None:
    values = blobs(200, 90)
    found = filled(values, (200, 90), 1, 13).reduced(*to)
    many = np.kron(values, np.ones((to[1], to[0]), np.float32)) if to == (7, 5) else values
    expected = cv2.resize(many, to, interpolation=cv2.INTER_AREA)
    assert found.shape == to[::-1]
    if to != (300, 100):  # enlarged, OpenCV interpolates
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found.mean() == pytest.approx(values.mean(), abs=1e-3)


def test_what_is_far_from_a_concept_takes_no_room() -> None:
    canvas = filled(np.full((2000, 2000), -9, np.float32), (2000, 2000), 1, 100)
    assert canvas.nbytes < 50_000
    assert pickle.loads(pickle.dumps(canvas)).cells == (2000, 2000)


def test_columns_of_another_height_are_refused() -> None:
    canvas = LogitCanvas((8, 8), 4)
    with pytest.raises(ValueError, match="expected columns of 2 logits"):
        canvas.append(np.zeros((3, 1), np.float32))
    with pytest.raises(ValueError, match="2 in all"):
        canvas.append(np.zeros((2, 3), np.float32))
