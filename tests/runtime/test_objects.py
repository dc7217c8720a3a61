"""Objects of a mask: connected parts, the rule for crumbs and holes, clicks, and what they take of memory."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from cgsam_edge.errors import InputError
from cgsam_edge.mask_runs import MaskRuns
from cgsam_edge.objects import least_pixels
from cgsam_edge.results import ConceptResult, Result
from cgsam_edge.run_parts import cleaned, split_parts

NO_CLICK = np.zeros((0, 2), np.float32)


def runs_of(mask: np.ndarray) -> MaskRuns:
    return MaskRuns.of([mask], (mask.shape[0], mask.shape[1]))


def drawn(*rows: str) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows])


def concept(
    name: str, mask: np.ndarray, *, present: bool = True, clicks: np.ndarray = NO_CLICK, outside: int = 0
) -> ConceptResult:
    """A square mask as logits of the same size, so that nothing is interpolated; the last clicks are outside."""
    logits = np.where(mask, 5, -5).astype(np.float32)
    labels = np.arange(len(clicks)) < len(clicks) - outside
    rest = (np.zeros(7, np.float32), np.zeros((2, 2), np.float32), clicks.astype(np.float32), labels.astype(np.float32))
    return ConceptResult(name, logits, 0.9, 0.8, present, *rest, None, (mask.shape[1], mask.shape[0]))


def random_mask(seed: int, height: int, width: int, smooth: float) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((height, width))
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), smooth) > 0)


MASKS = st.builds(
    random_mask, st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.sampled_from([0.1, 1, 3, 8])
)


@settings(max_examples=150, deadline=None)
@given(mask=MASKS)
def test_parts_are_opencvs_components(mask: np.ndarray) -> None:
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    parts = split_parts(runs_of(mask))
    assert len(parts) == count - 1
    assert [part.area for part in parts] == sorted((part.area for part in parts), reverse=True)
    together = np.zeros(mask.shape, int)
    for part in parts:
        inside = part.mask()
        together += inside
        assert len(np.unique(labels[inside])) == 1
        x, y, width, height = coco.toBbox(coco.encode(np.asfortranarray(inside).view(np.uint8))).astype(int)
        np.testing.assert_array_equal(part.crop((x, y, width, height)), inside[y : y + height, x : x + width])
    np.testing.assert_array_equal(together, mask)


def rule(mask: np.ndarray, least: int) -> np.ndarray:
    """The documented rule, from OpenCV's components: small parts go, then small holes are filled."""
    kept = mask.copy()
    for value, connectivity in ((True, 8), (False, 4)):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            (kept == value).astype(np.uint8), connectivity=connectivity
        )
        border = set(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]).tolist())
        for number in range(1, count):
            if stats[number, cv2.CC_STAT_AREA] < least and (value or number not in border):
                kept[labels == number] = not value
    return np.asarray(kept)


@settings(max_examples=150, deadline=None)
@given(mask=MASKS, least=st.sampled_from([0, 1, 2, 5, 20, 200, 5000]))
def test_the_rule_for_crumbs_and_holes(mask: np.ndarray, least: int) -> None:
    clean = cleaned(runs_of(mask), least)
    np.testing.assert_array_equal(clean.mask(), rule(mask, least))
    assert all(part.area >= least for part in split_parts(clean))


def test_objects_by_hand() -> None:
    mask = drawn(
        "##......",
        "##..###.",
        "..#.#.#.",
        "....###.",
        ".......#",
        "........",
        "#.......",
        "........",
    )
    one = concept("car", mask, clicks=np.array([[5.5, 2.5], [6.9, 1.2], [0.5, 0.5], [1.5, 1.5]]), outside=2)
    ring, corner, crumb = one.objects(min_area=0)
    assert (ring.area, corner.area, crumb.area) == (9, 5, 1)
    assert ring.box == (4, 1, 4, 4)
    assert (ring.concept, ring.score, ring.presence, ring.image_size) == ("car", 0.9, 0.8, (8, 8))
    assert ring.prompt == pytest.approx((6.9, 1.2)), "the first click is in its hole, the third is an outside click"
    assert corner.prompt is None
    np.testing.assert_array_equal(corner.mask, drawn("##......", "##......", "..#.....", *["........"] * 5))
    expected = coco.encode(np.asfortranarray(ring.mask).view(np.uint8))
    assert ring.rle() == {"size": [8, 8], "counts": expected["counts"].decode()}
    filled, second = one.objects(min_area=2)
    assert (filled.area, second.area) == (10, 5), "the hole of one pixel is filled, the crumb is gone"
    assert filled.prompt == (5.5, 2.5)
    assert [each.area for each in one.objects(min_area=0.1)] == [10], "6.4 pixels and more"


def test_a_hole_that_is_filled_may_join_two_parts() -> None:
    mask = np.zeros((9, 9), bool)
    mask[0:9, 0:9] = True
    mask[1:8, 1:8] = False
    mask[2:7, 2:7] = True  # an island; the gap around it has 24 pixels
    assert [one.area for one in concept("car", mask).objects(min_area=24)] == [32, 25]
    assert [one.area for one in concept("car", mask).objects(min_area=25)] == [81]
    assert [one.area for one in concept("car", mask).objects(min_area=26)] == [32], "the island goes first"


def test_a_result_has_the_objects_of_what_is_present() -> None:
    mask = np.zeros((16, 16), bool)
    mask[2:6, 2:6] = mask[9:15, 9:15] = True
    found = Result(
        Image.new("RGB", (16, 16)),
        {"car": concept("car", mask), "tree": concept("tree", mask, present=False), "road": concept("road", ~mask)},
    )
    assert [(one.concept, one.area) for one in found.objects()] == [("car", 36), ("car", 16), ("road", 204)]
    assert len(found["tree"].objects()) == 2, "asked for itself, a concept answers"
    empty = Result(Image.new("RGB", (16, 16)), {"car": concept("car", np.zeros((16, 16), bool))})
    assert empty.objects() == ()


@pytest.mark.parametrize(("given_area", "pixels"), [(0, 0), (7, 7), (0.0, 0), (0.001, 308), (np.int64(5), 5), (1, 1)])
def test_least_pixels(given_area: float, pixels: int) -> None:
    assert least_pixels(given_area, (640, 480)) == pixels


@pytest.mark.parametrize("given_area", [-1, 1.0, 200.5, -0.1, float("nan"), True, "5"])
def test_other_areas_are_refused(given_area: float) -> None:
    with pytest.raises(InputError, match="min_area is a whole number of pixels, such as 200, or a share"):
        concept("car", np.ones((4, 4), bool)).objects(min_area=given_area)


def test_ninety_objects_in_twelve_megapixels() -> None:
    """Less than 100 MB, of which 16 MB are one strip of logits; the masks full-size would be 1.1 GB."""
    logits = np.full((256, 256), -4, np.float32)
    for row in range(9):
        for column in range(10):
            cv2.circle(logits, (14 + 25 * column, 14 + 28 * row), 10, 4, -1)
    one = concept("car", np.zeros((2, 2), bool))
    big = ConceptResult(
        "car", logits, *(0.9, 0.8, True), one.evidence, one.similarity, NO_CLICK, NO_CLICK[:, 0], None, (4000, 3000)
    )
    tracemalloc.start()
    found = big.objects()
    polygons = [each.polygons() for each in found]
    encoded = [each.rle() for each in found]
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == len(polygons) == len(encoded) == 90
    assert peak < 100e6
    assert kept < 20e6
    assert sum(each.area for each in found) == big.area


def test_supervision_has_boxes_masks_and_names() -> None:
    supervision = pytest.importorskip("supervision", reason="the extra 'labels' is not installed")
    mask = np.zeros((64, 64), bool)
    mask[2:20, 2:10] = mask[30:60, 40:64] = True
    mask[40:50, 45:50] = False
    found = Result(Image.new("RGB", (64, 64)), {"road": concept("road", ~mask), "car": concept("car", mask)})
    detections = found.to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert detections.xyxy.tolist() == [[0, 0, 64, 64], [45, 40, 50, 50], [40, 30, 64, 60], [2, 2, 10, 20]]
    assert detections["class_name"].tolist() == ["road", "road", "car", "car"]
    assert detections.class_id.tolist() == [0, 0, 1, 1]
    assert detections.confidence.tolist() == pytest.approx([0.8] * 4)
    for number, one in enumerate(found.objects()):
        np.testing.assert_array_equal(detections.mask[number], one.mask)
    drawn_on = supervision.MaskAnnotator().annotate(np.zeros((64, 64, 3), np.uint8), detections)
    assert drawn_on.any()
    assert len(Result(Image.new("RGB", (4, 4)), {}).to_supervision()) == 0
