"""Polygons of masks: exact outlines, the round trip by pycocotools' rule, and validity as shapely judges it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from cgsam_edge.agreement import mask_iou
from cgsam_edge.errors import InputError
from cgsam_edge.polygons import Polygon, mask_polygons, round_trip
from cgsam_edge.segments import meeting
from tests.runtime.test_objects import MASKS, random_mask, runs_of


def back(polygons: list[Polygon], size: tuple[int, int]) -> np.ndarray:
    """The pixels of polygons, drawn by pycocotools: each outline, without its holes."""
    whole = np.zeros(size, bool)
    for one in polygons:
        outer, *holes = (
            coco.decode(coco.frPyObjects([ring.astype(float).ravel().tolist()], *size)[0]).astype(bool)
            for ring in one.rings
        )
        for hole in holes:
            outer &= ~hole
        whole |= outer
    return whole


@settings(max_examples=200, deadline=None)
@given(mask=MASKS)
def test_without_tolerance_the_outline_is_exact(mask: np.ndarray) -> None:
    polygons = mask_polygons(runs_of(mask), 0)
    np.testing.assert_array_equal(back(polygons, mask.shape), mask)
    assert len(polygons) == cv2.connectedComponents(mask.view(np.uint8), connectivity=4)[0] - 1
    assert sum(one.area for one in polygons) == mask.sum()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(40, 200),
    width=st.integers(40, 200),
    smooth=st.sampled_from([1.5, 3, 8, 20]),
    tolerance=st.sampled_from([0.5, 1, 2, 4]),
)
def test_the_round_trip_keeps_objects(seed: int, height: int, width: int, smooth: float, tolerance: float) -> None:
    mask = random_mask(seed, height, width, smooth)
    polygons = mask_polygons(runs_of(mask), tolerance)
    iou = mask_iou(back(polygons, mask.shape), mask) if mask.any() else 0
    assert iou == pytest.approx(round_trip(polygons, runs_of(mask)), abs=1e-12)
    assert iou >= 0.98 or not mask.any()


@settings(max_examples=100, deadline=None)
@given(mask=MASKS, tolerance=st.sampled_from([0, 1, 3]), min_iou=st.sampled_from([0.98, 0]))
def test_polygons_are_valid_for_maps(mask: np.ndarray, tolerance: float, min_iou: float) -> None:
    shapely = pytest.importorskip("shapely", reason="shapely is not installed (make test-tools)")
    for one in mask_polygons(runs_of(mask), tolerance, min_iou=min_iou):
        assert shapely.Polygon(one.exterior, one.holes).is_valid
        assert shapely.LinearRing(one.exterior).is_ccw, "counterclockwise where y points up is clockwise on the screen"


@pytest.mark.parametrize(("seed", "smooth"), [(22, 1.5), (30, 1.5), (34, 3)])
def test_outlines_that_would_cross_get_a_smaller_tolerance(seed: int, smooth: float) -> None:
    """Masks whose simplified outlines cross, as shapely judges them, if nothing is done."""
    mask = random_mask(seed, 60, 60, smooth)
    found = mask_polygons(runs_of(mask), 3, min_iou=0)
    for one in found:
        assert meeting(one.rings) == set()
    exact = mask_polygons(runs_of(mask), 0)
    assert sum(len(ring) for one in found for ring in one.rings) < sum(len(r) for one in exact for r in one.rings) / 3


def test_corners_by_hand() -> None:
    mask = np.zeros((6, 7), bool)
    mask[1:5, 2:6] = True
    mask[2:4, 3:5] = False
    (one,) = mask_polygons(runs_of(mask), 0)
    assert one.exterior.tolist() == [[2, 1], [6, 1], [6, 5], [2, 5]]
    assert [hole.tolist() for hole in one.holes] == [[[3, 2], [3, 4], [5, 4], [5, 2]]]
    assert one.exterior.dtype == one.holes[0].dtype == np.float32
    assert one.area == 12


def test_pixels_that_touch_at_a_corner_are_two_polygons_and_a_hole_may_touch_its_outline() -> None:
    two = np.array([[1, 0], [0, 1]], bool)
    assert [one.exterior.tolist() for one in mask_polygons(runs_of(two), 0)] == [
        [[0, 0], [1, 0], [1, 1], [0, 1]],
        [[1, 1], [2, 1], [2, 2], [1, 2]],
    ]
    pinched = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
    (one,) = mask_polygons(runs_of(pinched), 0)
    assert len(one.exterior) == 6
    assert [len(hole) for hole in one.holes] == [4]


def test_a_tolerance_bounds_the_distance_and_saves_corners() -> None:
    mask = np.zeros((300, 300), np.uint8)
    cv2.circle(mask, (150, 150), 120, 1, -1)
    runs = runs_of(mask.astype(bool))
    exact, near, far = (mask_polygons(runs, tolerance, min_iou=0)[0].exterior for tolerance in (0, 1, 4))
    assert len(exact) > 4 * len(near) > 8 * len(far)
    for corners, most in ((near, 1.0), (far, 4.0)):
        outline = corners[:, None]
        distances = [abs(cv2.pointPolygonTest(outline, (float(x), float(y)), True)) for x, y in exact]
        assert max(distances) <= most + 1e-3


@pytest.mark.slow
def test_a_thin_thing_keeps_its_shape() -> None:
    """A pole of one pixel would become a line; the tolerance is made smaller instead."""
    mask = np.zeros((1200, 900), np.uint8)
    cv2.polylines(mask, [np.array([[10, 10], [800, 700], [100, 1150]])], False, 1, 1)
    polygons = mask_polygons(runs_of(mask.astype(bool)), 5)
    assert mask_iou(back(polygons, mask.shape), mask.astype(bool)) >= 0.98


def test_crossings_are_seen() -> None:
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]])
    assert meeting([square]) == set()
    assert meeting([square, square[::-1] // 4 + 1]) == set()
    assert meeting([square[[0, 2, 1, 3]]]) == {0}, "a bow tie"
    assert meeting([square, square + 10, square + 2]) == {0, 2}
    assert meeting([square, square // 2 + [0, 1]]) == {0, 1}, "it runs along the other"
    assert meeting([np.array([[0, 0], [4, 0], [2, 0], [2, 3]])]) == {0}, "it returns on itself"


@pytest.mark.parametrize("arguments", [{"tolerance": -1}, {"tolerance": np.inf}, {"tolerance": np.nan}, {"min_iou": 2}])
def test_other_tolerances_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected a tolerance of 0 pixels or more and min_iou 0 to 1"):
        mask_polygons(runs_of(np.ones((3, 3), bool)), **arguments)
