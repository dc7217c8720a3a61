"""Zoom: parts of a picture are segmented like pictures, and their masks are put back where they lie."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
from cgsam_edge.prompts import Clicks
from cgsam_edge.results import ABSENT_LOGIT, Result
from cgsam_edge.rle import decode_rle
from cgsam_edge.screening import Screened
from cgsam_edge.zoom import KEPT, Near, Window, ZoomedConcept, blended, inside, windows_of
from tests.commands import cgsam, fails

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")

SIZE = (400, 300)
BOX = [100, 120, 180, 150]
NONE = np.zeros((0, 2), np.float32)


@pytest.fixture
def picture() -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC)


def prompt(box: Sequence[float] | None, points: Any = NONE, labels: Any = ()) -> Clicks:
    return Clicks(
        np.asarray(points, np.float32),
        np.asarray(labels, np.float32),
        None if box is None else np.asarray(box, np.float32),
    )


def covered(windows: list[Window]) -> np.ndarray:
    seen = np.zeros(SIZE[::-1], int)
    for left, top, right, bottom in windows:
        seen[top:bottom, left:right] += 1
    return seen


def test_a_box_has_a_window_of_the_pictures_proportions() -> None:
    assert windows_of(prompt(BOX), SIZE, 128) == [(80, 90, 200, 180)]  # 1.5 times 80 wide, and 3/4 of that high
    assert windows_of(prompt([0, 290, 4, 300]), SIZE, 128) == [
        (0, 274, 35, 300)
    ]  # at least a fifth of the model's side
    assert windows_of(prompt([0, 290, 4, 300]), SIZE, 1300) == []  # which would be nearly all of this picture


def test_windows_share_a_greater_box() -> None:
    windows = windows_of(prompt([0, 20, 390, 200]), SIZE, 128)
    assert {(right - left, bottom - top) for left, top, right, bottom in windows} == {(160, 120)}
    seen = covered(windows)
    assert seen[20:200, 0:390].min() >= 1
    assert seen[213:].max() == 0  # a tenth of a window further down
    assert sorted({left for left, *_ in windows}) == [0, 120, 240]


def test_clicks_have_windows_around_them_and_share_near_ones() -> None:
    windows = windows_of(prompt(None, [[200, 150], [220, 140], [10, 290]], [1, 0, 1]), SIZE, 128)
    assert windows == [(120, 90, 280, 210), (0, 180, 160, 300)]
    corner = prompt(None, [[400, 300], [399, 299], [398, 300]], [1, 1, 0])  # whose windows are moved inwards
    assert windows_of(corner, SIZE, 128) == [(240, 180, 400, 300)]


def test_prompts_move_with_the_window() -> None:
    given = prompt(BOX, [[100, 130], [10, 10]], [1, 0])
    found = inside(given, (80, 90, 200, 180), alone=True)
    assert found is not None
    np.testing.assert_array_equal(found.points, [[20, 40]])
    np.testing.assert_array_equal(found.labels, [1])
    np.testing.assert_array_equal(found.box, [20, 30, 100, 60])
    shared = inside(given, (80, 90, 140, 180), alone=False)
    assert shared is not None
    assert shared.box is None
    assert inside(given, (200, 90, 300, 180), alone=False) is None  # text alone


def test_a_zoomed_mask_is_that_of_the_cut_picture(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    found = tiny_segmenter.encode(picture).predict("car", [[150, 140]], box=BOX, zoom=True)
    assert isinstance(found, ZoomedConcept)
    [near] = found.near
    left, top, right, bottom = near.window
    own = tiny_segmenter.encode(picture.crop(near.window)).predict(
        "car", [[150 - left, 140 - top]], box=np.subtract(BOX, [left, top, left, top])
    )
    expected = np.full(SIZE[::-1], ABSENT_LOGIT, np.float32)
    expected[top:bottom, left:right] = own.full_logits()
    clear = np.zeros_like(expected, bool)
    clear[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    np.testing.assert_allclose(found.full_logits(), np.where(clear, expected, ABSENT_LOGIT), atol=1e-3)
    assert own.mask.any()
    assert (found.score, found.presence, found.image_size) == (own.score, own.presence, SIZE)
    np.testing.assert_array_equal(found.points, [[150, 140]])
    np.testing.assert_array_equal(found.box, BOX)


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
    one = found.near[0]
    np.testing.assert_array_equal(one.logits, tiny_segmenter.encode(picture.crop(one.window)).predict("car").logits)
    assert (found.score, found.presence) == (plain.score, plain.presence)
    known = tiny_segmenter.bundle.vocabulary
    every = np.ones(len(known.names), bool)

    def nothing_there(decoder: ConceptDecoder) -> Screened:
        return replace(Screened.of(decoder.features["clip_features"], known.features, known.screening), ruled_out=every)

    monkeypatch.setattr(ConceptDecoder, "screened", property(nothing_there))
    nowhere = encoded.predict("car", box=box, zoom=True)
    assert isinstance(nowhere, ZoomedConcept)
    assert nowhere.near == ()
    np.testing.assert_allclose(nowhere.full_logits()[20:290, :390], plain.full_logits()[20:290, :390], atol=1e-3)


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


def test_a_picture_with_few_pixels_is_not_zoomed_in_on(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = tiny_segmenter.encode(picture.resize((40, 30)))
    plain, zoomed = (encoded.predict("car", [[20, 15]], zoom=zoom) for zoom in (False, True))
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
    assert len(computed) == 1
    for number in range(KEPT):
        encoded.predict("car", [[200, 10 + 60 * number]], zoom=True)
    assert len(computed) == 1 + KEPT
    encoded.predict("car", box=BOX, zoom=True)
    assert len(computed) == 2 + KEPT


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
