"""Similarity, points, dense prompt and slots, on arrays small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cgsam_edge import prompts
from cgsam_edge.errors import PromptError
from cgsam_edge.export.reference import similarity as reference
from cgsam_edge.manifest import Geometry, Prompting

GEOMETRY = Geometry(image_size=1024, mask_size=256, patch_grid=32, embed_dim=8)
PROMPTING = Prompting(0.8, 5, 255.0, 16, ("text",), "tokens")
SIZE = (480, 360)


def noise(seed: int = 0, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32)


def test_map_and_dense_prompt_are_torchs() -> None:
    scores = noise()
    full = prompts.similarity_map(scores, 1024)
    tokens = torch.from_numpy(np.concatenate([[9.0], scores.ravel()]).astype(np.float32))[None]
    expected = reference.similarity_map(tokens, 1024)
    np.testing.assert_allclose(full, expected[0, 0], atol=1e-6)
    dense = prompts.dense_prompt(full, GEOMETRY, PROMPTING)
    assert dense.shape == (1, 1, 256, 256)
    assert set(np.unique(dense)) == {0, 255}
    wanted = reference.dense_prompt(expected, 256, 0.8, 255).numpy()
    assert (dense != wanted).mean() < 1e-4


def test_resize_is_torchs_in_both_directions() -> None:
    logits = noise(side=64)
    for width, height in ((480, 360), (33, 21), (64, 64)):
        size = (height, width)
        expected = torch.nn.functional.interpolate(torch.from_numpy(logits)[None, None], size, mode="bilinear")
        np.testing.assert_allclose(prompts.resize(logits, width, height), expected[0, 0], atol=1e-4)


def test_a_flat_similarity_gives_no_nan() -> None:
    full = prompts.similarity_map(np.full((32, 32), 0.3, np.float32), 1024)
    assert not full.any()
    assert prompts.text_points(full, PROMPTING).shape == (5, 2)
    assert not prompts.dense_prompt(full, GEOMETRY, PROMPTING).any()


def test_points_are_candidates_deterministic_and_distinct() -> None:
    full = prompts.similarity_map(noise(), 1024)
    points = prompts.text_points(full, PROMPTING)
    assert len({tuple(p) for p in points.tolist()}) == 5
    assert (full[points[:, 1].astype(int), points[:, 0].astype(int)] > 0.8).all()
    np.testing.assert_array_equal(points, prompts.text_points(full.copy(), PROMPTING))
    chosen = (points[:, 1] * 1024 + points[:, 0]).astype(np.uint64)
    rest = np.setdiff1d(np.flatnonzero(full > 0.8).astype(np.uint64), chosen)
    assert prompts.priority(chosen).min() > prompts.priority(rest).max()


def test_a_candidate_less_does_not_move_the_others() -> None:
    full = prompts.similarity_map(noise(), 1024)
    points = prompts.text_points(full, PROMPTING)
    x, y = points[2].astype(int)
    full[y, x] = 0
    after = {tuple(p) for p in prompts.text_points(full, PROMPTING).tolist()}
    assert len(after & {tuple(p) for p in points.tolist()}) == 4


def test_fewer_candidates_than_points() -> None:
    full = np.zeros((64, 64), np.float32)
    full[10, 20], full[5, 6], full[7, 7] = 0.9, 0.5, 0.4
    points = prompts.text_points(full, PROMPTING)
    assert len(points) == 5
    assert {(20, 10), (6, 5), (7, 7)} <= {tuple(p) for p in points.astype(int).tolist()}


def test_priority_is_splitmix64() -> None:
    """The first outputs of SplitMix64 seeded with 0, as its reference implementation prints them."""
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert prompts.priority(np.arange(3, dtype=np.uint64)).tolist() == known


def test_slots_for_clicks() -> None:
    clicks = prompts.check_clicks(np.asarray([[48, 36], [240.5, 0]]), [1, 0], None, SIZE, 16)
    points, labels = prompts.fill_slots(clicks, SIZE, GEOMETRY, PROMPTING)
    np.testing.assert_allclose(points[0, :2], [[102.4, 102.4], [240.5 * 1024 / 480, 0]], rtol=1e-6)
    assert labels[0].tolist() == [1, 0] + [-2] * 16 + [-1]


def test_slots_for_a_box() -> None:
    clicks = prompts.check_clicks(None, None, (0, 0, 480, 360), SIZE, 16)
    points, labels = prompts.fill_slots(clicks, SIZE, GEOMETRY, PROMPTING)
    assert points[0, -3:-1].tolist() == [[0, 0], [1024, 1024]]
    assert labels[0].tolist() == [-2] * 16 + [2, 3, -2]


@pytest.mark.parametrize(
    ("points", "labels", "box", "message"),
    [
        ([[1, 2]] * 17, None, None, r"17 points, but the bundle has 16 slots.*--prompt-slots 17"),
        ([[481, 2]], None, None, r"point \(481, 2\) is outside the image of 480x360"),
        ([[-0.5, 2]], None, None, "outside the image"),
        ([[np.nan, 2]], None, None, "points must be finite"),
        ([[1, 2, 3]], None, None, r"shape \(N, 2\) as \(x, y\), got \(1, 3\)"),
        ([1, 2], None, None, r"shape \(N, 2\)"),
        ("here", None, None, "points must be numbers"),
        ([[1, 2]], [1, 0], None, "expected 1, got 2"),
        (None, [1], None, "expected 0, got 1"),
        ([[1, 2]], [2], None, r"labels must be 1 \(inside\) or 0"),
        (None, None, (1, 2, 3), r"box must have shape \(4,\)"),
        (None, None, (9, 2, 3, 4), "x0 < x1"),
        (None, None, (1, 2, 3, 999), "box corner"),
        (None, None, (1, 2, np.inf, 4), "box must be finite"),
    ],
)
def test_bad_prompts(points: object, labels: object, box: object, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        prompts.check_clicks(points, labels, box, SIZE, 16)  # type: ignore[arg-type]
