"""Pictures segmented in tiles by the reference model."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from cgsam_edge.agreement import mask_iou
from cgsam_edge.errors import InputError
from cgsam_edge.limits import Limits
from cgsam_edge.quality.scenes import CONCEPTS
from cgsam_edge.quality.scenes.render import Scene
from cgsam_edge.results import Result
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.tiling import TileOptions, segment_tiles
from cgsam_edge.tiling import survey as survey_module
from cgsam_edge.tiling.blender import Blender
from cgsam_edge.tiling.lattice import Lattice
from cgsam_edge.tiling.tiled import TiledConcept, TiledResult

SHOWN = ("road", "car", "pole")
"""Something large, something in between, something thin."""

FROZEN = Path(__file__).parents[1] / "frozen"


@pytest.fixture(scope="module")
def tiled(reference: Segmenter, picture: np.ndarray) -> Result:
    return reference.segment(picture, SHOWN, tile="auto", skip_absent=False)


def begun(reference: Segmenter, picture: np.ndarray, begin: int) -> Result:
    model = reference._model
    options = TileOptions("auto", begin=begin)
    return segment_tiles(model, picture, model.indices(SHOWN), Limits(skip_absent=False), options)


@pytest.mark.slow
def test_where_tiles_begin_does_not_matter(reference: Segmenter, picture: np.ndarray, tiled: Result) -> None:
    """Half a tile is the step: all tiles move onto others. Elsewhere every tile sees another part of the picture."""
    for one in begun(reference, picture, 256).values():
        assert mask_iou(one.mask, tiled[one.name].mask) >= 0.97
    for one in begun(reference, picture, 100).values():
        assert mask_iou(one.mask, tiled[one.name].mask) >= 0.9


def test_tiles_find_what_is_small(reference: Segmenter, scene: Scene, tiled: Result) -> None:
    whole = reference.segment(scene.image, ["car", "pole"])
    for name, gain in (("car", 0.04), ("pole", 0.01)):
        truth = scene.labels == CONCEPTS.index(name)
        assert mask_iou(tiled[name].mask, truth) > mask_iou(whole[name].mask, truth) + gain


def test_a_result_of_tiles_is_a_result(tiled: Result, picture: np.ndarray) -> None:
    assert isinstance(tiled, TiledResult)
    assert tuple(tiled) == SHOWN
    assert tiled.image_size == (1024, 1024)
    car = tiled["vehicle"]
    assert isinstance(car, TiledConcept)
    assert car.mask.shape == (1024, 1024)
    assert car.area == car.mask.sum() > 10_000
    np.testing.assert_array_equal(car.full_logits() > 0, car.mask)
    assert car.logits.shape == (128, 128)
    assert abs(car.logits.mean() - car.full_logits().mean()) < 0.05
    assert 0 < car.computed < tiled.lattice.count
    assert car.evidence[3] ** 2 == pytest.approx(car.area / 1024**2, rel=0.02)
    assert sum(one.area for one in car.objects(min_area=0)) == car.area
    stack = np.stack([np.where(one.present, one.full_logits(), -1) for one in tiled.values()])
    np.testing.assert_array_equal(tiled.label_map(), np.where(stack.max(0) > 0, stack.argmax(0), -1))
    assert tiled.overlay().height == 1024
    cut = np.asarray(tiled.cutout("car"))[..., 3]
    np.testing.assert_array_equal(cut > 0, car.mask if car.present else np.zeros_like(car.mask))
    again = pickle.loads(pickle.dumps(tiled))
    assert again["car"].rle() == car.rle()
    assert [entry["category"] for entry in tiled.to_coco()] == list(SHOWN)


def test_a_small_picture_is_taken_whole(reference: Segmenter, picture: np.ndarray) -> None:
    small = cv2.resize(picture, (640, 500), interpolation=cv2.INTER_AREA)
    whole, found = reference.segment(small, SHOWN), reference.segment(small, SHOWN, tile="auto")
    assert type(found) is Result
    for one in whole.values():
        np.testing.assert_array_equal(one.logits, found[one.name].logits)
        assert (one.presence, one.skipped) == (found[one.name].presence, found[one.name].skipped)


def test_limits_hold_for_tiles(reference: Segmenter, picture: np.ndarray) -> None:
    steps: list[tuple[int, int]] = []
    found = reference.segment(
        picture, ["sky", "road", "car"], tile=768, overlap=0, max_concepts=1, progress=lambda *step: steps.append(step)
    )
    assert len(found) == 1
    assert set(found.left_out.values()) == {"max_concepts"}
    assert steps == [(i, 8) for i in range(1, 9)]


def test_skipped_concepts_are_those_that_no_tile_shows(reference: Segmenter) -> None:
    """A picture of sky alone: similarity rules things out in the whole and in each tile."""
    sky = np.full((1024, 1024, 3), (120, 170, 230), np.uint8)
    found = reference.segment(sky, tile="auto", overlap=0)
    skipped = [one for one in found.values() if one.skipped]
    assert skipped
    for one in skipped:
        assert not one.present
        assert (one.area, one.image_size) == (0, (1024, 1024))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": "auto", "time_budget": 1.0}, "time_budget ends after a concept, and tiles compute all"),
        ({"overlap": 0.5}, r"overlap is for tiles; give tile too, or leave overlap out \(got 0.5\)"),
        ({"tile": 100}, "tile must be 'auto' or a tile's side in pixels, 128 or more, got 100"),
        ({"tile": "auto", "overlap": 1.0}, "overlap must be a share of the tile"),
    ],
)
def test_wrong_options_are_refused(reference: Segmenter, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reference.segment("missing.png", **options)


def test_maps_that_take_too_much_are_refused(
    reference: Segmenter, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_module, "MAP_BYTES", 10_000)
    with pytest.raises(
        InputError, match=r"similarity maps of 11 concepts in 32x32 patches need 0\.0 GB; .* fewer concepts"
    ):
        reference.segment(picture, tile="auto")


def test_clip_runs_again_where_its_features_are_not_kept(
    reference: Segmenter, picture: np.ndarray, tiled: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_module, "KEPT_BYTES", 0)
    again = reference.segment(picture, "car", tile="auto", skip_absent=False)
    assert again["car"].rle() == tiled["car"].rle()


GEOMETRY: Any = SimpleNamespace(image_size=512, mask_size=128, patch_grid=16)


def blended(decoded: dict[int, Any], whole: np.ndarray) -> np.ndarray:
    """Blend tiles of a picture of 1000x700, and return the cells."""
    lattice = Lattice.of((1000, 700), GEOMETRY, 512, 0.5)
    blender = Blender(lattice, {5: whole})
    for x in lattice.columns:
        for y in lattice.rows:
            blender.add(x, y, decoded)
        blender.next_column()
    return np.concatenate([band for _, band in blender.canvases[5].bands()], axis=1)


def test_tiles_that_agree_blend_into_what_they_say() -> None:
    found = blended({5: (np.full((128, 128), 3, np.float32), 0.7)}, np.zeros((128, 128), np.float32))
    assert found.shape == (175, 250)
    np.testing.assert_allclose(found, 3, atol=0.01)


def test_without_any_tile_the_whole_decides() -> None:
    slope = np.broadcast_to(np.linspace(-8, 8, 128, dtype=np.float32), (128, 128))
    expected = cv2.resize(np.ascontiguousarray(slope), (250, 175), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(blended({}, slope), expected, atol=0.01)


def test_a_score_is_weighted_by_mask_pixels() -> None:
    lattice = Lattice.of((1024, 512), GEOMETRY, 512, 0)
    blender = Blender(lattice, {5: np.zeros((128, 128), np.float32)})
    full, quarter = np.ones((128, 128), np.float32), -np.ones((128, 128), np.float32)
    quarter[:64, :64] = 1
    assert blender.score(5, 0.25) == 0.25
    blender.add(0, 0, {5: (full, 0.9)})
    blender.next_column()
    blender.add(512, 0, {5: (quarter, 0.4)})
    assert blender.score(5, 0.25) == pytest.approx((0.9 * 4 + 0.4) / 5)
    assert blender.computed[5] == 2


def test_a_bundle_whose_image_graph_has_clip_inside(picture: np.ndarray, tmp_path: Path) -> None:
    """Format 1: what runs first in a tile is everything that concepts share."""
    with zipfile.ZipFile(FROZEN / "format1-float.zip") as archive:
        archive.extractall(tmp_path)
    (manifest,) = tmp_path.rglob("manifest.json")
    with Segmenter(manifest.parent, backend="onnxruntime", threads=1) as segmenter:
        side = segmenter.bundle.manifest.geometry.image_size
        small = np.ascontiguousarray(picture[: 2 * side, : 2 * side])
        found = segmenter.segment(small, tile="auto", overlap=0, skip_absent=False)
    assert isinstance(found, TiledResult)
    assert found.lattice.count == 4
    assert all(one.mask.shape == (2 * side, 2 * side) for one in found.values())
