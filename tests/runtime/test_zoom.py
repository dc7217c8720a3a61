"""Zoom: parts of a picture are segmented like pictures, and their masks are put back where they lie."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter, strips
from cgsam_edge.concept_decoder import ConceptDecoder
from cgsam_edge.errors import PromptError
from cgsam_edge.opened_model import OpenedModel
from cgsam_edge.results import ABSENT_LOGIT, Result
from cgsam_edge.rle import decode_rle
from cgsam_edge.screening import Screened
from cgsam_edge.zoom import KEPT, NO_SHORTFALL, ZoomedConcept, zoomed
from cgsam_edge.zoom_windows import inside, windows_of
from tests.commands import cgsam, fails
from tests.live import scripted
from tests.runtime.test_zoom_windows import BOX, SIZE, prompt

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")


@pytest.fixture
def picture() -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC)


def rule_everything_out(monkeypatch: pytest.MonkeyPatch, segmenter: Segmenter) -> None:
    """Let similarity rule out all concepts everywhere."""
    known = segmenter.bundle.vocabulary
    every = np.ones(len(known.names), bool)

    def nothing_there(decoder: ConceptDecoder) -> Screened:
        return replace(Screened.of(decoder.features["clip_features"], known.features, known.screening), ruled_out=every)

    monkeypatch.setattr(ConceptDecoder, "screened", property(nothing_there))


def test_a_zoomed_mask_is_that_of_the_cut_picture(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = tiny_segmenter.encode(picture)
    found = encoded.predict("car", [[150, 140]], box=BOX, zoom=True)
    assert isinstance(found, ZoomedConcept)
    assert [one.window for one in found.near] == [(80, 90, 200, 180), (92, 99, 188, 171)]
    expected = np.full(SIZE[::-1], ABSENT_LOGIT, np.float32)
    total, weight = np.zeros_like(expected), np.zeros_like(expected)
    for near in found.near:
        left, top, right, bottom = near.window
        own = tiny_segmenter.encode(picture.crop(near.window)).predict(
            "car", [[150 - left, 140 - top]], box=np.subtract(BOX, [left, top, left, top])
        )
        share = np.outer(fall(bottom - top), fall(right - left))
        total[top:bottom, left:right] += share * own.full_logits()
        weight[top:bottom, left:right] += share
        if near is found.near[0]:
            assert (found.score, found.presence, found.present) == (own.score, own.presence, own.present)
            np.testing.assert_array_equal(found.evidence, own.evidence)
    inner = slice(BOX[1], BOX[3]), slice(BOX[0], BOX[2])
    expected[inner] = (total / np.maximum(weight, 1e-9))[inner]
    np.testing.assert_allclose(found.full_logits(), expected, atol=1e-3)
    assert found.mask.any()
    assert found.image_size == SIZE
    np.testing.assert_array_equal(found.points, [[150, 140]])
    np.testing.assert_array_equal(found.box, BOX)


def fall(side: int) -> np.ndarray:
    """Weights of a window's columns or rows that has no edge in common with the picture."""
    return np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 + 1e-3


def test_around_a_click_the_window_decides_and_elsewhere_the_picture(
    tiny_segmenter: Segmenter, picture: Image.Image
) -> None:
    encoded = tiny_segmenter.encode(picture)
    found, plain = (encoded.predict("car", [[200, 150]], zoom=zoom) for zoom in (True, False))
    assert isinstance(found, ZoomedConcept)
    [near] = found.near
    left, top, right, bottom = near.window
    logits, whole = found.full_logits(), plain.full_logits()
    own = tiny_segmenter.encode(picture.crop(near.window)).predict("car", [[200 - left, 150 - top]]).full_logits()
    np.testing.assert_allclose(logits[:top], whole[:top], atol=1e-3)
    np.testing.assert_allclose(logits[:, right:], whole[:, right:], atol=1e-3)
    at = 150, 200  # the middle of the window, where the picture counts a twentieth
    assert logits[at] == pytest.approx((own[150 - top, 200 - left] + 0.05 * whole[at]) / 1.05, abs=0.01)
    assert np.abs(whole - logits)[top:bottom, left:right].max() > 0.02
    assert found.presence == plain.presence


def test_a_turned_photo_is_zoomed_in_on_as_it_is_seen(
    tiny_segmenter: Segmenter, picture: Image.Image, tmp_path: Path
) -> None:
    stored = Image.Exif()
    stored[274] = 6  # the camera was held upright: turn it by 90 degrees
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=stored)
    turned = tiny_segmenter.encode(str(tmp_path / "turned.png"))
    assert turned.image.size == SIZE
    expected = tiny_segmenter.encode(picture).predict("car", box=BOX, zoom=True)
    found = turned.predict("car", box=BOX, zoom=True)
    np.testing.assert_array_equal(found.full_logits(), expected.full_logits())


def test_parts_of_a_great_box_are_averaged_where_none_rules_the_concept_out(
    tiny_segmenter: Segmenter, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, box = tiny_segmenter.encode(picture), [0, 20, 390, 290]
    found, plain = (encoded.predict("car", box=box, zoom=zoom) for zoom in (True, False))
    assert isinstance(found, ZoomedConcept)
    assert [one.window for one in found.near] == windows_of(prompt(box), SIZE, 128)
    for one in found.near:
        seen, part = tiny_segmenter.encode(picture.crop(one.window)), inside(prompt(box), one.window).box
        without, boxed = seen.predict("car"), seen.predict("car", box=part)
        share = np.float32(without.presence**2)
        np.testing.assert_array_equal(one.logits, share * boxed.logits + (1 - share) * without.logits)
    assert (found.score, found.presence) == (plain.score, plain.presence)
    rule_everything_out(monkeypatch, tiny_segmenter)
    nowhere = encoded.predict("car", box=box, zoom=True)
    assert isinstance(nowhere, ZoomedConcept)
    assert nowhere.near == ()
    undrawn = replace(nowhere, shortfall=NO_SHORTFALL).full_logits()
    np.testing.assert_allclose(undrawn[20:290, :390], plain.full_logits()[20:290, :390], atol=1e-3)


def test_a_box_that_one_part_holds_is_judged_there(
    tiny_segmenter: Segmenter, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smaller parts cut the box; what they rule out is left to the larger one."""
    encoded, box = tiny_segmenter.encode(picture), [100, 100, 240, 190]
    found = encoded.predict("car", box=box, zoom=True)
    assert isinstance(found, ZoomedConcept)
    larger, *smaller = windows_of(prompt(box), SIZE, 128)
    assert [one.window for one in found.near] == [larger, *smaller]
    assert len(smaller) == 2
    assert found.whole is None
    seen = tiny_segmenter.encode(picture.crop(larger)).predict("car", box=inside(prompt(box), larger).box)
    assert (found.score, found.presence, found.present) == (seen.score, seen.presence, seen.present)
    rule_everything_out(monkeypatch, tiny_segmenter)
    alone = encoded.predict("car", box=box, zoom=True)
    assert isinstance(alone, ZoomedConcept)
    assert [one.window for one in alone.near] == [larger]
    assert alone.presence == seen.presence


def test_a_zoomed_result_has_the_judgement_of_its_base() -> None:
    base = scripted.concept("car", np.full((32, 32), 2.0, np.float32), SIZE, presence=0.7)
    given = prompt([0, 20, 390, 290], [[30, 40]], [1])
    for one in (base, replace(base, present=False, presence=0.2)):
        found = zoomed(one, [], one.logits, given, SIZE)
        assert (found.name, found.score, found.presence, found.present) == ("car", 0.8, one.presence, one.present)
        np.testing.assert_array_equal(found.points, given.points)


def test_all_forms_of_a_zoomed_mask_agree(
    tiny_segmenter: Segmenter, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = tiny_segmenter.encode(picture)
    found = encoded.predict("car", box=BOX, zoom=True)
    result = Result(picture, {"car": found, "road": encoded.predict("road")})
    for width in (10**9, 40_000):  # in one part, and in many
        monkeypatch.setattr(strips, "STRIP_BYTES", width)
        again = encoded.predict("car", box=BOX, zoom=True)
        np.testing.assert_array_equal(again.mask, found.mask)
        np.testing.assert_array_equal(decode_rle(again.rle()), found.mask)
        assert again.area == found.mask.sum()
        np.testing.assert_array_equal(Result(picture, {"car": again}).label_map() >= 0, found.mask)
        logits = np.stack([one.full_logits() for one in result.values()])
        expected = np.where((logits > 0).any(0), logits.argmax(0), -1)
        np.testing.assert_array_equal(result.label_map(), expected)
    coarse = np.asarray(Image.fromarray(found.logits).resize(SIZE, Image.Resampling.NEAREST)) > 0
    assert (coarse & found.mask).sum() > 0.6 * (coarse | found.mask).sum()
    assert result.overlay().size[1] == SIZE[1]


def test_one_zoomed_concept_does_not_hold_the_rows_of_the_others(
    monkeypatch: pytest.MonkeyPatch, tiny_segmenter: Segmenter
) -> None:
    """Concepts share the room of their rows, whatever is beside them."""
    monkeypatch.setattr(strips, "STRIP_BYTES", 2**20)
    monkeypatch.setattr(strips, "STACK_BYTES", 2**22)
    picture = Image.new("RGB", (2000, 1000))
    encoded = tiny_segmenter.encode(picture)
    plain = encoded.predict("car", box=[0, 0, 1999, 999])
    some = {str(i): replace(plain, name=str(i), present=True) for i in range(60)}
    zoomed = replace(encoded.predict("road", box=[100, 100, 300, 200], zoom=True), present=True)
    peaks = []
    for result in (Result(picture, some), Result(picture, {"road": zoomed, **some})):
        tracemalloc.start()
        labels = result.label_map()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 12e6
    assert max(peaks) < 40e6  # each with rows for itself would take 87 MB
    logits = np.stack([zoomed.full_logits(), plain.full_logits()])
    assert np.array_equal(labels, np.where((logits > 0).any(0), logits.argmax(0), -1))


def test_a_picture_with_few_pixels_is_not_zoomed_in_on(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = tiny_segmenter.encode(picture.resize((20, 15)))
    plain, zoomed = (encoded.predict("car", [[10, 7]], zoom=zoom) for zoom in (False, True))
    assert not isinstance(zoomed, ZoomedConcept)
    np.testing.assert_array_equal(zoomed.logits, plain.logits)


def test_further_clicks_do_not_encode_again(
    tiny_segmenter: Segmenter, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, computed = tiny_segmenter.encode(picture), []
    compute: Callable[..., Any] = OpenedModel.features

    def counted(*given: Any) -> Any:
        computed.append(given)
        return compute(*given)

    monkeypatch.setattr(OpenedModel, "features", counted)
    encoded.predict("car", box=BOX, zoom=True)
    assert encoded.part_bytes > 0
    encoded.predict("road", [[140, 130]], box=BOX, zoom=True)
    assert len(computed) == 2
    for number in range(KEPT - 2):
        encoded.predict("car", [[200, 10 + 90 * number]], zoom=True)
    assert len(computed) == KEPT
    first = encoded.predict("car", box=BOX, zoom=True)
    assert len(computed) == KEPT  # the parts that were used last before the clicks are still there
    encoded.predict("car", [[350, 250]], zoom=True)
    assert len(computed) == KEPT + 1
    again = encoded.predict("car", box=BOX, zoom=True)
    assert len(computed) == KEPT + 1  # they are not dropped, for they were used last
    np.testing.assert_array_equal(first.logits, again.logits)
    encoded = tiny_segmenter.encode(picture)
    computed.clear()
    whole = [encoded.predict("car", box=[0, 0, *SIZE], zoom=True) for _ in range(2)]
    assert len(computed) == 9 + 9 - KEPT  # the second time, it begins with those that are kept
    np.testing.assert_array_equal(whole[0].logits, whole[1].logits)


def test_a_call_ends_between_parts(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded, begun = tiny_segmenter.encode(picture), []

    def limited() -> None:
        begun.append(encoded.part_bytes)
        if len(begun) == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        encoded.predict("car", box=[0, 0, *picture.size], zoom=True, before_part=limited)
    assert begun[0] == 0 < begun[1] < begun[2] == encoded.part_bytes


def test_zoom_needs_clicks_or_a_box(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    with pytest.raises(PromptError, match="zoom needs clicks or a box"):
        tiny_segmenter.encode(picture).predict("car", zoom=True)


def test_the_command_zooms(tiny_segmenter: Segmenter, tiny_bundle: Path, picture: Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "a.png")
    common = ("segment", "a.png", "--bundle", tiny_bundle, "--concepts", "car", "--zoom")
    done = cgsam(*common, "--box", ",".join(map(str, BOX)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads((tmp_path / "a.json").read_text())["annotations"]
    own = tiny_segmenter.encode(picture).predict("car", box=BOX, zoom=True)
    np.testing.assert_array_equal(decode_rle(entry["segmentation"]), own.mask)
    fails(cgsam(*common, cwd=tmp_path), 2, "--zoom needs clicks or a box")
