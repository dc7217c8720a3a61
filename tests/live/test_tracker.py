"""Objects keep their number: as they move, hide, meet and leave."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import InputError, Tracking
from cgsam_edge.live.shapes import Shape
from cgsam_edge.live.tracker import Tracker
from cgsam_edge.quality.identity import IdentityJudge, Numbered, labelled_things
from cgsam_edge.quality.scenes import CONCEPTS, render_clip
from cgsam_edge.results import Result
from tests.live.scripted import Box, boxes, result

SIDE = (96, 96)
AT_ONCE = Tracking(min_frames=1)


def follow(frames: list[list[Box]], options: Tracking = AT_ONCE, concept: str = "car") -> list[dict[int, Box]]:
    """Return the numbers and boxes of each frame, whose things are given as boxes."""
    tracker = Tracker(options)
    made = [result({concept: boxes(SIDE, *found)}) for found in frames]
    return [{one.id: one.object.box for one in tracker.update(frame)} for frame in made]


def test_a_thing_that_moves_keeps_its_number() -> None:
    places: list[list[Box]] = [[(4 + 9 * n, 30, 12, 10)] for n in range(8)]
    assert follow(places) == [{1: found[0]} for found in places]


def test_two_things_that_pass_each_other_keep_theirs() -> None:
    """They meet in no frame, but each comes nearer to where the other was than to where it was itself."""
    one: list[Box] = [(6 + 8 * n, 30, 10, 10) for n in range(9)]
    other: list[Box] = [(76 - 8 * n, 41, 10, 10) for n in range(9)]
    for frame, a, b in zip(follow([[a, b] for a, b in zip(one, other, strict=True)]), one, other, strict=True):
        assert frame == {1: a, 2: b}


def test_a_hidden_thing_returns_where_it_should_be() -> None:
    """It walks behind something for four frames; another thing that appears meanwhile gets another number."""
    walk: list[Box] = [(4 + 5 * n, 30, 8, 16) for n in range(14)]
    still: Box = (70, 70, 12, 12)
    frames = [[place] if n < 6 else [still] if n < 10 else [place, still] for n, place in enumerate(walk)]
    found = follow(frames)
    assert [set(frame) for frame in found] == [{1}] * 6 + [{2}] * 4 + [{1, 2}] * 4
    assert found[-1][1] == walk[-1]


def test_how_long_it_was_hidden_is_said() -> None:
    tracker = Tracker(AT_ONCE)
    seen = [boxes(SIDE, (20, 20, 10, 10)), *[boxes(SIDE)] * 3, boxes(SIDE, (20, 20, 10, 10))]
    (one,) = [tracker.update(result({"car": mask})) for mask in seen][-1]
    assert (one.id, one.frames, one.hidden, one.velocity) == (1, 2, 3, (0.0, 0.0))


def test_velocity_is_in_pixels_a_frame() -> None:
    """Also of a picture so large that shapes are compared on a coarser grid."""
    tracker = Tracker(AT_ONCE)
    for n in range(4):
        found = result({"car": boxes((128, 128), (10 + 8 * n, 40, 20, 20))}, Image.new("RGB", (1280, 1280)))
        (one,) = tracker.update(found)
    assert one.velocity == pytest.approx((80, 0), abs=1.5)
    assert one.object.box == pytest.approx((340, 400, 200, 200), abs=12)


@pytest.mark.parametrize(("gap", "number"), [(3, 1), (4, 2)])
def test_a_thing_gone_for_longer_than_max_gap_is_new(gap: int, number: int) -> None:
    here: list[Box] = [(20, 20, 10, 10)]
    assert set(follow([here, *[[]] * gap, here], Tracking(min_frames=1, max_gap=3))[-1]) == {number}


def test_numbers_are_never_used_again() -> None:
    """Things come and go for good, one after the other: each has its own number."""
    frames: list[list[Box]] = []
    for n in range(6):
        frames += [[(10 + 12 * n, 10 + 12 * n, 8, 8)], []]
    found = follow(frames, Tracking(min_frames=1, max_gap=0))
    assert [id_ for frame in found for id_ in frame] == [1, 2, 3, 4, 5, 6]


def test_a_thing_that_left_does_not_return_as_another() -> None:
    """One drives out at the right; the next that comes in there, two frames later, is someone else."""
    out: list[list[Box]] = [[(40 + 14 * n, 30, 14, 10)] for n in range(6)]
    assert set(follow([*out, [], [], [(84, 30, 12, 10)]])[-1]) == {2}


def test_a_number_needs_min_frames() -> None:
    here: list[Box] = [(20, 20, 10, 10)]
    assert [set(frame) for frame in follow([here] * 4, Tracking(min_frames=3))] == [set(), set(), {1}, {1}]
    assert follow([here, [], here, []], Tracking(min_frames=2)) == [{}] * 4


def test_concepts_do_not_swap_numbers() -> None:
    tracker = Tracker(AT_ONCE)
    here, empty = boxes(SIDE, (20, 20, 10, 10)), boxes(SIDE)
    first = tracker.update(result({"car": here, "tree": empty}))
    second = tracker.update(result({"car": empty, "tree": here}))
    assert [(one.id, one.object.concept) for one in (*first, *second)] == [(1, "car"), (2, "tree")]


def test_things_that_touch_are_told_apart_again() -> None:
    """Two meet for three frames, when they are one part of the mask, and pass on."""
    one = [(10 + 6 * n, 30, 12, 12) for n in range(12)]
    other = [(76 - 6 * n, 30, 12, 12) for n in range(12)]
    found = follow([[a, b] for a, b in zip(one, other, strict=True)])
    assert min(len(frame) for frame in found) == 1
    assert found[-1] == {1: one[-1], 2: other[-1]}


def test_a_picture_of_another_size_begins_anew() -> None:
    tracker = Tracker(AT_ONCE)
    (first,) = tracker.update(result({"car": boxes((96, 96), (20, 20, 10, 10))}))
    (second,) = tracker.update(result({"car": boxes((64, 64), (20, 20, 10, 10))}))
    assert (first.id, second.id) == (1, 2)


def test_small_objects_are_left_out() -> None:
    found = follow([[(10, 10, 3, 3), (40, 40, 10, 10)]], Tracking(min_area=20, min_frames=1))
    assert found == [{1: (40, 40, 10, 10)}]


def test_shapes_on_a_coarse_grid_overlap_as_masks_do() -> None:
    """Two rectangles whose overlap is known: 20 x 30 of 40 x 30 each, in a picture four times the grid."""
    large = (2048, 2048)
    made = [result({"car": boxes(large, (x, 400, 160, 120))})["car"].objects()[0] for x in (400, 480)]
    first, second = (Shape.of(one) for one in made)
    assert first.area == second.area == 40 * 30
    assert first.iou(second) == pytest.approx(1 / 3)
    assert first.moved(np.array([20.2, -0.4])).iou(second) == 1
    assert first.moved(np.array([-200.0, 0.0])).iou(second) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_iou": 0.0}, "min_iou must be above 0 and at most 1, got 0.0"),
        ({"max_gap": -1}, "max_gap must be a whole number, 0 or more, got -1"),
        ({"max_gap": 1.5}, "max_gap must be a whole number, 0 or more, got 1.5"),
        ({"min_frames": 0}, "min_frames must be a whole number, 1 or more, got 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Tracking(**options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_rendered_things_keep_their_numbers_far_better_than_without() -> None:
    """On the labels' own masks: what `objects` lists, by its place in the list, and with tracking."""
    judged = {CONCEPTS.index(name): name for name in ("car", "pedestrian", "bicyclist")}
    plain, tracked, tracker = IdentityJudge(), IdentityJudge(), Tracker(AT_ONCE)
    for frame in render_clip(1, 4, 40, 256, 256):
        things = labelled_things(frame.labels, frame.ids, judged)
        found: Result = result({name: frame.labels == i for i, name in judged.items()})
        listed = [(n, one) for c in found.values() for n, one in enumerate(c.objects()) if c.present]
        plain.add(things, [Numbered(n, one.concept, one.mask) for n, one in listed])
        numbered = tracker.update(found)
        tracked.add(things, [Numbered(one.id, one.object.concept, one.object.mask) for one in numbered])
    assert tracked.score().matched == plain.score().matched > 100
    assert tracked.score().switches < plain.score().switches / 2


def test_a_thing_that_falls_in_two_is_not_two_of_one_number() -> None:
    found = follow([[(20, 20, 40, 12)], [(20, 20, 26, 12), (48, 20, 12, 12)]])
    assert found == [{1: (20, 20, 40, 12)}, {1: (20, 20, 26, 12), 2: (48, 20, 12, 12)}]
