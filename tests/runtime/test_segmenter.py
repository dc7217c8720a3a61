"""`Segmenter` and what it returns."""

from __future__ import annotations

import dataclasses
import gc
import json
import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from cgsam_edge import BackendError, InputError, PromptError, Segmenter, UnknownConceptError
from cgsam_edge.export.parity import sample_picture
from cgsam_edge.prompts import resize
from cgsam_edge.results import Result
from cgsam_edge.rle import encode_rle
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend
from tests.conftest import relative_error
from tests.runtime import spawned

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")


def test_a_result_is_what_it_says(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    result = tiny_segmenter.segment(picture, ["road", "shrub"])
    assert list(result) == ["road", "tree"]
    assert result["shrub"] is result["tree"]
    one = result["road"]
    width, height = picture.size
    assert one.mask.shape == (height, width)
    assert one.mask.dtype == np.bool_
    assert one.logits.shape == (32, 32)
    assert one.logits.dtype == np.float32
    assert one.similarity.shape == (4, 4)
    assert (one.points.shape, one.labels.tolist(), one.box) == ((5, 2), [1] * 5, None)
    assert (one.points <= picture.size).all()
    np.testing.assert_array_equal(one.mask, resize(one.logits, width, height) > 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.score = 1.0  # type: ignore[misc]
    with pytest.raises(UnknownConceptError, match="the result has no concept 'building'"):
        result["building"]
    assert len(repr(one)) < 600


def test_all_concepts_by_default_in_order(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    assert list(tiny_segmenter.concepts) == ["car", "road", "tree", "building"]
    assert tuple(tiny_segmenter.segment(picture)) == tiny_segmenter.concepts
    assert tuple(tiny_segmenter.segment(picture, "car")) == ("car",)
    assert tuple(tiny_segmenter.segment(picture, [])) == ()


def test_encode_once_ask_often(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = tiny_segmenter.encode(picture)
    direct = tiny_segmenter.segment(picture)
    for name, one in encoded.segment().items():
        np.testing.assert_array_equal(one.logits, direct[name].logits)
    text_only = encoded.predict("car")
    np.testing.assert_array_equal(text_only.logits, direct["car"].logits)


def test_clicks_and_box_reach_the_decoder(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = tiny_segmenter.encode(picture)
    same = encoded.predict("car")
    by_hand = encoded.predict("car", points=same.points)
    assert relative_error(by_hand.logits, same.logits) < 1e-5
    variants = [
        encoded.predict("car", points=[[10.5, 20]], labels=[1]),
        encoded.predict("car", points=[[10.5, 20]], labels=[0]),
        encoded.predict("car", points=[[10.5, 20]], labels=[1], box=(5, 5, 60, 50)),
        encoded.predict("car", box=[5, 5, 60, 50]),
        encoded.predict("road", box=[5, 5, 60, 50]),
    ]
    for i, a in enumerate(variants):
        assert all(relative_error(a.logits, b.logits) > 1e-4 for b in variants[:i])


def test_unknown_concepts_suggest_the_nearest(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    with pytest.raises(UnknownConceptError, match=r"no concept 'raod'\. Did you mean 'road'\? It knows: car, road"):
        tiny_segmenter.segment(picture, ["car", "raod"])
    with pytest.raises(KeyError):
        tiny_segmenter.encode(picture).predict("zebra")


def test_a_mask_is_read_only(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    """It is kept, and area, objects and the overlay come from the logits: a change would be seen by some alone."""
    found = tiny_segmenter.segment(picture, "car", skip_absent=False)["car"]
    with pytest.raises(ValueError, match="read-only"):
        found.mask[:] = True
    assert found.mask.copy().flags.writeable


def test_bad_prompts_name_the_image(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = tiny_segmenter.encode(picture)
    with pytest.raises(PromptError, match="outside the image of 96x64"):
        encoded.predict("car", points=[[97, 1]])
    with pytest.raises(PromptError, match="17 points"):
        encoded.predict("car", points=[[1, 1]] * 17)
    for name, kind in ((["car"], "list"), (None, "NoneType"), (3, "int")):
        with pytest.raises(InputError, match=f"one concept's name, such as 'car', not a {kind}"):
            encoded.predict(name)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
def test_prompts_of_another_kind_than_trained_warn_once(tiny_bundle: Path, picture: Image.Image) -> None:
    with Segmenter(tiny_bundle) as segmenter:
        encoded = segmenter.encode(picture)
        encoded.segment("car")
        with pytest.warns(UserWarning, match=r"8\.5 mIoU") as caught:
            encoded.predict("car", points=[[1, 1]])
        assert caught[0].filename == __file__
        encoded.predict("car", points=[[1, 1]])


@pytest.mark.filterwarnings("error")
def test_warnings_point_at_the_callers_line(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = trained_on_clicks(tiny_bundle, tmp_path)
    with Segmenter(bundle, backend="onnxruntime") as segmenter:
        with pytest.warns(UserWarning, match="trained on clicks") as caught:
            list(segmenter.stream_images([Image.new("RGB", (9, 9))] * 3, "car"))
        assert (caught[0].filename, len(caught)) == (__file__, 1)
    asks: tuple[Callable[[Image.Image], object], ...] = (
        lambda image: segmenter.segment(image, "car"),
        lambda image: next(segmenter.encode(image).stream("car")),
        lambda image: segmenter.encode(image).segment("car"),
        lambda image: segmenter.encode(image).predict("car"),
    )
    for ask in asks:
        with (
            Segmenter(bundle, backend="onnxruntime") as segmenter,
            pytest.warns(UserWarning, match="trained on clicks") as caught,
        ):
            ask(Image.new("RGB", (9, 9)))
        assert caught[0].filename == __file__


def trained_on_clicks(bundle: Path, folder: Path) -> Path:
    """Return a copy of a bundle whose model, its manifest says, never saw points drawn from similarity."""
    copy = Path(shutil.copytree(bundle, folder / "clicks.cgsam"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["prompting"]["trained_for"] = ["clicks"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_any_iterable_of_names(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = tiny_segmenter.encode(picture)
    pair = ["road", "car"]
    calls: tuple[Callable[[Any], list[str]], ...] = (
        lambda names: list(tiny_segmenter.segment(picture, names)),
        lambda names: list(encoded.segment(names)),
        lambda names: sorted((one.name for one in encoded.stream(names)), reverse=True),
        lambda names: list(next(tiny_segmenter.stream_images([picture], names))[1]),
        lambda names: list(list(tiny_segmenter.stream_images([picture] * 3, names))[2][1]),
    )
    for call in calls:
        for names in (pair, tuple(pair), (n for n in pair), dict.fromkeys(pair), np.asarray(pair), map(str, pair)):
            assert call(names) == pair
    assert encoded.ruled_out(iter(pair)) == ()
    tiny_segmenter.check_concepts(iter(pair))
    with pytest.raises(UnknownConceptError, match="no concept 'cra'"):
        tiny_segmenter.check_concepts(n for n in ("car", "cra"))


@pytest.mark.parametrize(
    ("concepts", "message"),
    [
        (3, r"concepts must be a name, an iterable of names, or None for all, got 3 \(int\)"),
        (b"car", r"got b'car' \(bytes\)"),
        ([3], r"a concept's name must be a string, got 3 \(int\)"),
        ([["car"]], r"must be a string, got \['car'\] \(list\)"),
        (True, r"got True \(bool\)"),
    ],
)
def test_concepts_of_a_wrong_type(tiny_segmenter: Segmenter, picture: Image.Image, concepts: Any, message: str) -> None:
    encoded = tiny_segmenter.encode(picture)
    calls: tuple[Callable[[], object], ...] = (
        lambda: tiny_segmenter.segment("no such image", concepts),
        lambda: tiny_segmenter.stream_images([], concepts),
        lambda: tiny_segmenter.check_concepts(concepts),
        lambda: encoded.segment(concepts),
        lambda: encoded.stream(concepts),
        lambda: encoded.ruled_out(concepts),
    )
    for call in calls:
        with pytest.raises(InputError, match=message):
            call()


def test_a_bundle_of_a_wrong_type() -> None:
    for bundle in (3, b"x", ["x"]):
        with pytest.raises(InputError, match="bundle must be the path of a folder, or None, got"):
            Segmenter(bundle)  # type: ignore[arg-type]


def test_features_are_the_image_graphs(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    features = tiny_segmenter.encode(picture).features
    assert features["clip_features"].shape == (17, tiny_segmenter.bundle.manifest.geometry.embed_dim)
    assert features["clip_features"].dtype == np.float32
    with pytest.raises(TypeError):
        features["clip_features"] = features["clip_features"]  # type: ignore[index]


def test_a_segmenter_travels_to_spawned_processes(
    tiny_bundle: Path, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_bundle.parent)
    with (
        Segmenter(tiny_bundle.name, backend="onnxruntime", threads=1, cache_bytes=0) as segmenter,
        Segmenter(tiny_bundle, backend=spawned.Own()) as own,
    ):
        expected = segmenter.segment(picture, "car")["car"].mask
        with get_context("spawn").Pool(1) as pool:
            results = pool.map(spawned.car, [(segmenter, picture), (own, picture)])
        assert [name for name, _ in results] == ["onnxruntime", "own"]
        for _, mask in results:
            np.testing.assert_array_equal(mask, expected)
        again = pickle.loads(pickle.dumps(segmenter))
        assert (again._cache_bytes, again.placement.threads) == (0, 1)
        again.close()
        result = pickle.loads(pickle.dumps(segmenter.segment(picture)))
        np.testing.assert_array_equal(result["car"].mask, expected)
        with pytest.raises(InputError, match=r"encoded image belongs to the engine .* cannot be pickled"):
            pickle.dumps(segmenter.encode(picture))
    with pytest.raises(BackendError, match="closed"):
        pickle.dumps(segmenter)


def test_a_backend_that_cannot_be_pickled_is_named(tiny_bundle: Path) -> None:
    class Local(OnnxRuntimeBackend):
        name = "local"

    with (
        Segmenter(tiny_bundle, backend=Local()) as segmenter,
        pytest.raises(BackendError, match=r"its backend Local cannot: .* at the top level of a module"),
    ):
        pickle.dumps(segmenter)


def test_closing(tiny_bundle: Path, picture: Image.Image) -> None:
    with Segmenter(tiny_bundle, backend="onnxruntime", threads=1) as segmenter:
        encoded = segmenter.encode(picture)
    with pytest.raises(BackendError, match="closed"):
        segmenter.segment(picture)
    with pytest.raises(BackendError, match="closed"):
        encoded.segment("car")
    segmenter.close()


def test_forcing_a_backend(tiny_bundle: Path, tmp_path: Path) -> None:
    with Segmenter(tiny_bundle, backend="onnxruntime") as segmenter:
        assert segmenter.backend == "onnxruntime"
    with pytest.raises(BackendError, match="no backend 'tpu'; expected 'auto' or one of 'onnxruntime'"):
        Segmenter(tiny_bundle, backend="tpu")
    with pytest.raises(InputError, match="threads must be a whole number from 1 to"):
        Segmenter(tiny_bundle, threads=0)
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["targets"] = {"abacus": manifest["targets"]["onnxruntime"]}
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BackendError, match="holds graphs for abacus"):
        Segmenter(other)
    with pytest.raises(BackendError, match="holds no graphs for 'onnxruntime', only for abacus"):
        Segmenter(other, backend="onnxruntime")


def allocated() -> int:
    """Bytes of Python and numpy that are alive, of those allocated since tracemalloc began."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.slow
def test_eight_threads_give_the_masks_of_one_and_leave_nothing_behind(tiny_segmenter: Segmenter) -> None:
    pictures = [sample_picture(64 + 2 * (i % 10)) for i in range(100)]
    expected = [tiny_segmenter.segment(p)["car"].logits for p in pictures[:10]]
    tracemalloc.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(tiny_segmenter.segment, pictures[:20]))
            before = allocated()
            for i, result in enumerate(pool.map(tiny_segmenter.segment, pictures)):
                np.testing.assert_array_equal(result["car"].logits, expected[i % 10])
            del result
            grown = allocated() - before
    finally:
        tracemalloc.stop()
    assert grown < 100 * expected[0].nbytes / 2, "each image left something, if only half a mask"


def test_label_map_gives_an_overlap_to_the_greater_logit(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    result = tiny_segmenter.segment(picture)
    labels = result.label_map()
    stack = np.stack([one.full_logits() for one in result.values()])
    np.testing.assert_array_equal(labels, np.where(stack.max(0) > 0, stack.argmax(0), -1))
    assert Result(picture, {}).label_map().max() == -1


def test_overlay_shows_mask_and_legend(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    result = tiny_segmenter.segment(picture, ["car", "road"])
    overlay = result.overlay()
    assert overlay.mode == "RGB"
    assert overlay.width > picture.width
    assert overlay.height == picture.height
    changed = (np.asarray(overlay)[:, : picture.width] != np.asarray(picture)).any(axis=2)
    assert changed[result.label_map() >= 0].mean() > 0.9
    assert Result(picture, {}).overlay().size == picture.size


@pytest.mark.parametrize("seed", range(6))
def test_rle_is_cocos(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 300, 2)
    mask = np.cumsum(rng.random(shape) > 0.97, axis=0) % 2 == 1
    masks = [mask, ~mask, np.zeros(shape, bool), np.ones(shape, bool)]
    for one in masks:
        expected = coco.encode(np.asfortranarray(one.astype(np.uint8)))
        assert encode_rle(one) == {"size": expected["size"], "counts": expected["counts"].decode()}


def test_coco_entry(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    result = tiny_segmenter.segment(picture, "car")
    (entry,) = json.loads(json.dumps(result.to_coco()))
    np.testing.assert_array_equal(coco.decode(entry["segmentation"]).astype(bool), result["car"].mask)
    assert entry["area"] == result["car"].mask.sum()
    assert entry["area"] > 0
    box = coco.toBbox({**entry["segmentation"], "counts": entry["segmentation"]["counts"].encode()})
    assert entry["bbox"] == box.tolist()
