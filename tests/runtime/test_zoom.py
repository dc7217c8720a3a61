"""A box to zoom in on: its surroundings are a picture of their own, and the mask is put back where they lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter, strips
from cgsam_edge.errors import PromptError
from cgsam_edge.opened_model import OpenedModel
from cgsam_edge.prompts import Clicks
from cgsam_edge.results import Result
from cgsam_edge.rle import decode_rle
from cgsam_edge.zoom import ZoomedConcept, inside, window_around
from tests.commands import cgsam, fails

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")

SIZE = (400, 300)
BOX = [100, 120, 180, 150]
NONE = np.zeros((0, 2), np.float32)


@pytest.fixture
def picture() -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC)


def around(box: list[float], points: Any = NONE, labels: Any = ()) -> Clicks:
    return Clicks(np.asarray(points, np.float32), np.asarray(labels, np.float32), np.asarray(box, np.float32))


def test_the_window_has_the_pictures_proportions_and_lies_inside() -> None:
    assert window_around(around(BOX), SIZE, 128) == (80, 90, 200, 180)  # 1.5 times 80 wide, and 3/4 of that high
    assert window_around(around([0, 290, 4, 300]), SIZE, 128) == (
        0,
        274,
        35,
        300,
    )  # at least a fifth of the model's side
    assert window_around(around([0, 0, 300, 20]), SIZE, 128) is None  # nearly all of the width
    widened = window_around(around(BOX, [[20, 20], [390, 10]], [1, 0]), SIZE, 128)
    assert widened is not None
    left, top, right, bottom = widened
    assert left <= 20 < 180 <= right < 390
    assert top <= 20 < 150 <= bottom


def test_clicks_move_with_the_window_and_those_outside_of_it_are_dropped() -> None:
    found = inside(around(BOX, [[100, 130], [10, 10]], [1, 0]), (80, 90, 200, 180))
    np.testing.assert_array_equal(found.points, [[20, 40]])
    np.testing.assert_array_equal(found.labels, [1])
    np.testing.assert_array_equal(found.box, [20, 30, 100, 60])


def test_a_zoomed_mask_is_that_of_the_cut_picture(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    found = tiny_segmenter.encode(picture).predict("car", [[150, 140]], box=BOX, zoom=True)
    assert isinstance(found, ZoomedConcept)
    left, top, right, bottom = found.window
    cut = tiny_segmenter.encode(picture.crop(found.window))
    own = cut.predict("car", [[150 - left, 140 - top]], box=np.subtract(BOX, [left, top, left, top]))
    whole = np.zeros(SIZE[::-1], bool)
    whole[top:bottom, left:right] = own.mask
    assert own.mask.any()
    assert not own.mask.all()
    np.testing.assert_array_equal(found.mask, whole)
    np.testing.assert_array_equal(found.full_logits()[top:bottom, left:right], own.full_logits())
    assert (found.score, found.presence, found.image_size) == (own.score, own.presence, SIZE)
    np.testing.assert_array_equal(found.points, [[150, 140]])
    np.testing.assert_array_equal(found.box, BOX)


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


def test_a_box_of_nearly_all_of_a_picture_changes_nothing(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = tiny_segmenter.encode(picture)
    plain, zoomed = (encoded.predict("car", box=[10, 10, 390, 290], zoom=zoom) for zoom in (False, True))
    assert not isinstance(zoomed, ZoomedConcept)
    np.testing.assert_array_equal(zoomed.logits, plain.logits)


def test_further_clicks_do_not_encode_again(
    tiny_segmenter: Segmenter, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, computed = tiny_segmenter.encode(picture), []
    compute: Callable[..., Any] = OpenedModel.features
    monkeypatch.setattr(OpenedModel, "features", lambda *given: computed.append(1) or compute(*given))
    encoded.predict("car", box=BOX, zoom=True)
    encoded.predict("road", [[140, 130]], box=BOX, zoom=True)
    assert len(computed) == 1
    encoded.predict("car", box=[200, 200, 230, 260], zoom=True)
    assert len(computed) == 2


def test_zoom_needs_a_box(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = tiny_segmenter.encode(picture)
    for points in (None, [[10, 10]]):
        with pytest.raises(PromptError, match="zoom needs a box"):
            encoded.predict("car", points, zoom=True)


def test_the_command_zooms(tiny_segmenter: Segmenter, tiny_bundle: Path, picture: Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "a.png")
    common = ("segment", "a.png", "--bundle", tiny_bundle, "--concepts", "car", "--zoom")
    done = cgsam(*common, "--box", ",".join(map(str, BOX)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads((tmp_path / "a.json").read_text())["annotations"]
    own = tiny_segmenter.encode(picture).predict("car", box=BOX, zoom=True)
    np.testing.assert_array_equal(decode_rle(entry["segmentation"]), own.mask)
    fails(cgsam(*common, "--point", "5,5", cwd=tmp_path), 2, "--zoom needs a box")
