"""Smoothed masks and presence: nothing when off, no blinking when on, along the motion, and anew after a cut."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from cgsam_edge import InputError
from cgsam_edge.agreement import mask_iou
from cgsam_edge.live.motion import SIDE, Motion, grey
from cgsam_edge.live.smoothing import MOST, Smoother
from cgsam_edge.results import ConceptResult, Result
from tests.live.scripted import boxes, concept

SIZE = (128, 128)
THRESHOLDS = {"car": 0.5}


def texture(seed: int = 0) -> np.ndarray:
    """Return a smooth random picture (256, 256, 3) that optical flow can follow."""
    rough = np.random.default_rng(seed).uniform(0, 255, (32, 32, 3)).astype(np.float32)
    fine = np.clip(cv2.resize(rough, (256, 256), interpolation=cv2.INTER_CUBIC), 0, 255)
    return np.asarray(fine, np.uint8)


def view(right: int = 0, seed: int = 0) -> Image.Image:
    """Return a window of that picture, moved to the right by pixels: what it shows moves to the left."""
    return Image.fromarray(texture(seed)[40 : 40 + SIZE[1], 40 + right : 40 + right + SIZE[0]])


def frame(x: int = 40, picture: Image.Image | None = None, **options: float | bool) -> Result:
    """Return a result in which a car of 40 x 40 pixels stands at x."""
    logits = np.where(boxes(SIZE, (x, 40, 40, 40)), 4, -4).astype(np.float32)
    one = concept("car", logits, SIZE, **options)  # type: ignore[arg-type]
    return Result(view() if picture is None else picture, {"car": one})


def last(smoother: Smoother, *frames: Result) -> ConceptResult:
    return [smoother.update(one) for one in frames][-1].concepts["car"]


def test_zero_returns_the_very_result() -> None:
    smoother = Smoother(0, THRESHOLDS)
    for one in (frame(), frame(50), frame(skipped=True, present=False)):
        assert smoother.update(one) is one


def test_the_first_frame_is_as_it_is() -> None:
    one = frame()
    assert last(Smoother(0.5, THRESHOLDS), one) is one["car"]


def test_a_still_picture_gives_the_weighted_mean() -> None:
    """A quarter of the way from -4 to 4 back at a weight of 0.25, where only one of two frames has the car."""
    found = last(Smoother(0.25, THRESHOLDS), frame(10), frame(70))
    assert found.logits[60, 30] == pytest.approx(-2, abs=0.05)
    assert found.logits[60, 90] == pytest.approx(2, abs=0.05)
    assert found.logits[5, 5] == pytest.approx(-4, abs=0.05)


def test_a_mask_that_fails_for_a_frame_does_not_blink() -> None:
    empty = concept("car", np.full(SIZE, -1, np.float32), SIZE)
    blank = Result(view(), {"car": empty})
    found = last(Smoother(0.6, THRESHOLDS), frame(), frame(), blank)
    assert mask_iou(found.mask, frame()["car"].mask) > 0.98


def test_masks_move_with_the_picture() -> None:
    """The camera turns by 6 pixels a frame: past masks move along, and do not smear."""
    smoother = Smoother(0.8, THRESHOLDS)
    for n in range(5):
        now = frame(70 - 6 * n, view(6 * n))
        found = smoother.update(now)["car"]
    assert mask_iou(found.mask, now["car"].mask) > 0.97
    logits = frame(70 - 30)["car"].logits
    blank = replace(now, concepts={"car": replace(now["car"], logits=np.full_like(logits, -1))}, image=view(30))
    assert mask_iou(smoother.update(blank)["car"].mask, boxes(SIZE, (40, 40, 40, 40))) > 0.9


def test_after_a_cut_the_past_is_forgotten() -> None:
    other = frame(70, view(seed=9))
    assert last(Smoother(0.9, THRESHOLDS), frame(10), frame(10), other) is other["car"]


def test_what_appears_is_seen_at_once_where_the_picture_changed() -> None:
    """Something dark comes into a still picture: there, the past is not trusted."""
    pixels = np.asarray(view()).copy()
    pixels[40:80, 70:110] = 0
    empty = concept("car", np.full(SIZE, -4, np.float32), SIZE)
    before = Result(view(), {"car": empty})
    found = last(Smoother(0.9, THRESHOLDS), before, before, frame(70, Image.fromarray(pixels)))
    assert mask_iou(found.mask, boxes(SIZE, (70, 40, 40, 40))) > 0.7


def test_presence_changes_only_beyond_a_margin() -> None:
    """Around the threshold it stays what it was, from either side; a lasting change gets through."""
    smoother = Smoother(0.5, THRESHOLDS)
    seen = [0.8, 0.45, 0.55, 0.42, 0.05, 0.05, 0.05, 0.55, 0.55, 0.95, 0.95]
    found = [smoother.update(frame(presence=p, present=p >= 0.5))["car"].present for p in seen]
    assert found == [True] * 4 + [False, False, False] + [False, False, True, True]


def test_presence_is_averaged_as_log_odds() -> None:
    found = last(Smoother(0.5, THRESHOLDS), frame(presence=0.5), frame(presence=0.9))
    assert found.presence == pytest.approx(1 / (1 + math.exp(-0.5 * math.log(9))))


def test_without_a_threshold_presence_is_never_decided() -> None:
    found = last(Smoother(0.5, {"car": math.nan}), frame(presence=0.9), frame(presence=0.1))
    assert found.present
    assert found.presence == pytest.approx(0.5)


def test_a_concept_that_is_skipped_for_a_frame_keeps_its_mask() -> None:
    gone = frame(presence=0.3, present=False, skipped=True)
    smoother = Smoother(0.7, THRESHOLDS)
    found = last(smoother, frame(), frame(), gone)
    assert (found.present, found.skipped) == (True, False)
    assert mask_iou(found.mask, frame()["car"].mask) > 0.98
    for _ in range(12):
        found = smoother.update(gone)["car"]
    assert (found.present, found.skipped, found.area) == (False, True, 0)


def test_a_skipped_concept_without_a_past_mask_is_absent() -> None:
    """Its presence may be near the threshold, but nothing was ever computed that could be shown."""
    first = frame(presence=0.45, present=False, skipped=True)
    found = last(
        Smoother(0.5, THRESHOLDS), first, replace(first, concepts={"car": frame(presence=0.9, skipped=True)["car"]})
    )
    assert (found.present, found.skipped, found.area) == (False, True, 0)


def test_another_size_begins_anew() -> None:
    small = replace(frame(70), image=view().resize((64, 64)))
    assert last(Smoother(0.9, THRESHOLDS), frame(10), small) is small["car"]


def test_motion_is_the_way_back() -> None:
    """The window moved by 5 of 128 pixels to the right: what is at x was at x + 10 of 256 cells."""
    motion = Motion.between(grey(view()), grey(view(5)))
    assert np.median(motion.flow[..., 0]) == pytest.approx(10, abs=0.5)
    assert np.median(motion.flow[..., 1]) == pytest.approx(0, abs=0.5)
    assert not motion.is_cut
    assert motion.trust[:, SIDE - 5 :].max() < 0.01  # came in at the right
    ramp = np.tile(np.arange(SIDE, dtype=np.float32), (SIDE, 1))
    assert float(motion.carry(ramp)[100, 100]) == pytest.approx(110, abs=1)
    assert Motion.between(grey(view()), grey(view(seed=4))).is_cut


@pytest.mark.parametrize("amount", [-0.1, MOST + 0.01, math.nan, True, "0.5", None])
def test_a_bad_amount_is_refused(amount: object) -> None:
    with pytest.raises(InputError, match=r"smooth must be a number from 0 \(off\) to 0\.95, got"):
        Smoother(amount, THRESHOLDS)  # type: ignore[arg-type]


def test_a_concept_that_was_left_out_has_no_past() -> None:
    """Its mask of two frames ago did not move along, so it must not be averaged with."""
    one = frame(70)
    found = last(Smoother(0.9, THRESHOLDS), frame(10), replace(frame(10), concepts={}), one)
    assert found is one["car"]


@pytest.mark.parametrize(("first", "later", "present"), [(0.6, 0.45, True), (0.4, 0.55, False)])
def test_a_little_beyond_the_threshold_changes_nothing_ever(first: float, later: float, present: bool) -> None:
    frames = [frame(presence=p, present=p >= 0.5) for p in (first, *[later] * 12)]
    assert last(Smoother(0.5, THRESHOLDS), *frames).present == present
