"""Polygons and RLE beside pycocotools, the reference implementation, bit by bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from cgsam_edge.agreement import mask_iou
from cgsam_edge.errors import InputError
from cgsam_edge.polygon_pixels import polygon_mask
from cgsam_edge.quality.labels.segmentation import segmentation_parts
from cgsam_edge.rle import decode_rle, encode_rle


def reference(parts: Sequence[Sequence[float]], width: int, height: int) -> np.ndarray:
    found: np.ndarray = coco.decode(coco.merge(coco.frPyObjects([list(part) for part in parts], height, width)))
    return found.astype(bool)


def drawn(parts: Any, width: int, height: int) -> np.ndarray:
    (piece,) = segmentation_parts(parts)
    return piece.draw(width, height)


@pytest.mark.parametrize(
    ("parts", "pixels"),
    [
        ([[10, 10, 20, 10, 20, 20, 10, 20]], 100),
        ([10, 10, 20, 10, 20, 20, 10, 20], 100),  # flat
        ([[10, 10, 20, 10, 20, 20, 10, 20], [10, 10, 20, 10, 20, 20, 10, 20]], 100),  # a part listed twice
        ([[10, 10, 20, 10, 20, 20, 10, 20], [15, 10, 25, 10, 25, 20, 15, 20]], 150),  # overlapping parts
        ([[10, 10, 20, 10, 20, 20, 10, 20], [30, 30]], 100),  # a stray point
        ([[10, 10, 20, 10, 20, 20, 10, 20], []], 100),
        ([[-10, -10, 5, -10, 5, 5, -10, 5]], 25),  # cut off at the edge
        ([[30, 30, 90, 30, 90, 90, 30, 90]], 100),
    ],
)
def test_known_areas(parts: list[Any], pixels: int) -> None:
    assert drawn(parts, 40, 40).sum() == pixels


def test_a_pole_three_pixels_wide_is_three_pixels_wide() -> None:
    pole = np.zeros((60, 40), bool)
    pole[5:55, 20:23] = True
    assert mask_iou(drawn([[20, 5, 23, 5, 23, 55, 20, 55]], 40, 60), pole) == 1


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(st.lists(st.integers(-400, 1600), min_size=6, max_size=24), min_size=1, max_size=3),
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    step=st.sampled_from([20, 10, 7, 1.3]),
)
def test_every_bit_as_pycocotools(parts: list[list[int]], size: tuple[int, int], step: float) -> None:
    given_parts = [[number / step for number in part[: len(part) // 2 * 2]] for part in parts]
    np.testing.assert_array_equal(drawn(given_parts, *size), reference(given_parts, *size))


def test_repeated_corners_and_big_pictures() -> None:
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([500 + 400.3 * np.cos(angle), 400 + 380.7 * np.sin(angle)], axis=1)
    twice = np.repeat(circle, 2, axis=0).ravel().tolist()
    np.testing.assert_array_equal(drawn([twice], 1000, 800), reference([twice], 1000, 800))


def test_a_road_is_the_same_as_polygons_and_as_rle() -> None:
    road = np.zeros((240, 320), np.uint8)
    cv2.fillPoly(road, [np.array([[0, 239], [120, 90], [200, 90], [319, 239]])], (1,))
    road[150:170, 140:180] = 0  # a car stands on it; a tool that has no holes cuts the road into overlapping parts
    left, right = road.copy(), road.copy()
    left[:, 170:], right[:, :150] = 0, 0
    parts = []
    for half in (left, right):
        contours, _ = cv2.findContours(half, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        parts += [contour.reshape(-1).tolist() for contour in contours]
    rle: dict[str, Any] = encode_rle(road.astype(bool))
    assert mask_iou(drawn(parts, 320, 240), decode_rle(rle)) > 0.95
    np.testing.assert_array_equal(drawn(parts, 320, 240), reference(parts, 320, 240))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1, 2, 3, 4]], "polygons of 4 numbers, too few for an area"),
        ([10, 20, 30, 40], "polygons of 4 numbers"),
        ([[1, 2], [3, 4], [5, 6]], r"polygons of 2 numbers.*points as pairs"),
        ([[1, 2, 3, 4, 5]], "5 numbers, an odd count"),
        ([0, 20, 30, 4, 5], "an odd count .the counts of an RLE"),
        ([[1, 2, 3, 4, 5, "6"]], "holds '6'"),
        ([[1, 2, 3, 4, 5, None]], "holds None"),
        ([[1, 2, 3, 4, 5, True]], "holds True"),
        ([[[1, 2], [3, 4], [5, 6]]], r"holds \[1, 2\]"),
        ([[1, 2, 3, 4, 5, float("nan")]], "not finite"),
        ([[1, 2, 3, 4, 5, 10**400]], "not finite"),
        ("RLE", "of type str"),
        (7, "of type int"),
        ([{"counts": [1]}, [1, 2, 3, 4, 5, 6]], "holds {'counts'"),
        ({"counts": "52203"}, "needs 'size'"),
        ({"size": [4], "counts": "52203"}, "needs 'size'"),
        ({"size": [-4, 3], "counts": [12]}, "needs 'size'"),
        ({"size": ["a", 3], "counts": [12]}, "needs 'size'"),
    ],
)
def test_what_is_no_segmentation_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        segmentation_parts(value)


def test_an_endless_outline_is_refused() -> None:
    with pytest.raises(InputError, match="longer than 4 million pixels"):
        drawn([[0, 0, 1e12, 0, 5, 5]], 10, 10)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("00", "holds 0 pixels; expected 2x2"),
        ("\n1", "not occur in compressed RLE"),
        ("é", "not occur in compressed RLE"),
        ("P", "in the middle of a number"),
        ("o" * 40, "not occur in compressed RLE"),
        ([1, -1, 4], "holds 4 pixels"),
        ([1.5, 2.5], "a string or whole numbers"),
        (["1", "3"], "a string or whole numbers"),
        ([True, 3], "a string or whole numbers"),
        ([float("nan"), 4], "a string or whole numbers"),
        (None, "a string or whole numbers"),
        ({}, "a string or whole numbers"),
        ([10**30], "a string or whole numbers"),
    ],
)
def test_what_is_no_rle_is_refused(counts: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_rle({"size": [2, 2], "counts": counts})


def test_forms_of_rle() -> None:
    expected = [[False, True], [True, False]]
    packed = coco.encode(np.asfortranarray(np.array(expected, np.uint8)))
    for counts in ([1, 2, 1], [1.0, 2.0, 1.0], packed["counts"], packed["counts"].decode()):
        np.testing.assert_array_equal(decode_rle({"size": [2.0, 2], "counts": counts}), expected)
    with pytest.raises(InputError, match="limit is 100 megapixels"):
        decode_rle({"size": [10**6, 10**6], "counts": [10**12]})


@settings(max_examples=150, deadline=None)
@given(mask=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=9))
def test_rle_as_pycocotools(mask: list[list[bool]]) -> None:
    array = np.array(mask)
    expected = coco.encode(np.asfortranarray(array.astype(np.uint8)))
    assert encode_rle(array)["counts"] == expected["counts"].decode()
    np.testing.assert_array_equal(decode_rle({**expected, "counts": expected["counts"].decode()}), array)


@settings(max_examples=200, deadline=None)
@given(
    size=st.lists(st.one_of(st.integers(-2, 9), st.none(), st.floats()), max_size=3),
    counts=st.one_of(st.text(max_size=12), st.lists(st.integers(-3, 80), max_size=6), st.binary(max_size=9)),
)
def test_any_rle_is_a_mask_or_an_error_that_is_meant(size: list[Any], counts: Any) -> None:
    try:
        mask = decode_rle({"size": size, "counts": counts})
    except InputError:
        return
    assert mask.shape == tuple(int(side) for side in size)
    assert mask.dtype == np.bool_


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(["size", "counts", "x"]), inner),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=JSON)
def test_any_json_is_a_segmentation_or_an_error_that_is_meant(value: Any) -> None:
    try:
        masks = [piece.draw(*(piece.size or (9, 7))) for piece in segmentation_parts(value)]
    except InputError:
        return
    assert all(mask.dtype == np.bool_ for mask in masks)


def test_no_part_covers_nothing() -> None:
    assert polygon_mask([], 3, 2).sum() == 0
    assert polygon_mask([], 3, 2).shape == (2, 3)
