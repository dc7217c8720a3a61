"""Where tiles lie, and what they weigh."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cgsam_edge.errors import InputError
from cgsam_edge.tiling.lattice import Lattice, check_overlap, is_whole, tile_side, total_weight, window

GEOMETRY: Any = SimpleNamespace(image_size=512, mask_size=128, patch_grid=16)


def test_half_overlapping_tiles_by_hand() -> None:
    found = Lattice.of((1024, 700), GEOMETRY, 512, 0.5)
    assert (found.cell, found.columns, found.rows, found.count) == (4, (0, 256, 512), (0, 188), 6)
    assert found.cells == (256, 175)
    assert Lattice.of((1023, 512), GEOMETRY, 512, 0.0).columns == (0, 512)
    assert Lattice.of((1022, 300), GEOMETRY, 512, 0.75).columns == (0, 128, 256, 384, 512)
    assert Lattice.of((1022, 300), GEOMETRY, 512, 0.75).rows == (0,)


@pytest.mark.parametrize("size", [(1024, 1536), (1000, 777), (513, 2001)])
def test_a_shift_by_a_step_is_the_same_lattice(size: tuple[int, int]) -> None:
    still = Lattice.of(size, GEOMETRY, 512, 0.5)
    assert Lattice.of(size, GEOMETRY, 512, 0.5, begin=256) == still
    assert Lattice.of(size, GEOMETRY, 512, 0.5, begin=512) == still
    assert Lattice.of(size, GEOMETRY, 512, 0.5, begin=128) != still


@pytest.mark.parametrize("begin", [0, 4, 100, 128, 255, 511])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("length", [512, 513, 640, 1300, 5003])
def test_tiles_cover_a_picture(length: int, overlap: float, begin: int) -> None:
    found = Lattice.of((length, length), GEOMETRY, 512, overlap, begin)
    assert found.columns[0] == 0
    assert length <= found.columns[-1] + 512 < length + found.cell
    assert max((b - a for a, b in pairwise(found.columns)), default=0) <= 512
    assert all(at % found.cell == 0 for at in found.columns)
    weights = window(128)
    edges = tuple(at // found.cell for at in found.columns)
    assert total_weight(edges, weights, found.cells[0]).min() > 0
    assert total_weight(edges, weights, found.cells[0]).shape == (found.cells[0],)


def test_weights_are_smooth_and_even() -> None:
    """Squared sines half a tile apart add up to 1, as sin² + cos² do."""
    weights = window(128)
    np.testing.assert_allclose(weights, weights[::-1], rtol=1e-6)
    assert weights[0] < 0.002
    assert weights[63] > 0.999
    total = total_weight((0, 64, 128), weights, 256)
    np.testing.assert_allclose(total[64:192], 1.002, atol=1e-5)


def test_sides() -> None:
    assert [tile_side(tile, GEOMETRY) for tile in ("auto", 128, 129, np.int64(512))] == [512, 128, 256, 512]
    for wrong in ("big", 0, 127, -512, 512.0, True, None):
        with pytest.raises(InputError, match=r"tile must be 'auto' or a tile's side in pixels, 128 or more, got"):
            tile_side(wrong, GEOMETRY)


def test_overlaps() -> None:
    assert [check_overlap(value) for value in (None, 0, 0.25, np.float32(0.5), 0.9)] == [0.5, 0.0, 0.25, 0.5, 0.9]
    for wrong in (1, -0.1, 0.91, "half", True, float("nan")):
        with pytest.raises(InputError, match=r"overlap must be a share of the tile, 0 to 0\.9, got"):
            check_overlap(wrong)


def test_when_tiles_are_of_no_use() -> None:
    assert is_whole((640, 400), "auto", 512)
    assert not is_whole((641, 400), "auto", 512)
    assert is_whole((512, 512), 512, 512)
    assert not is_whole((513, 20), 512, 512)
