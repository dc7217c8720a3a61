"""The committed vectors are what the command makes, and the Python runtime keeps them on every engine at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.errors import CgsamError, PromptError
from cgsam_edge.prompts import check_clicks
from tests.vectors import cases, hostile, stages
from tests.vectors.__main__ import bundles, make
from tests.vectors.values import FOLDER, Store, problem, read, read_index

NEWEST = bundles()[-1]
RECIPES = json.loads((FOLDER / "hostile.json").read_text(encoding="utf-8"))["recipes"]
WHOLE = [vector for vector in read_index()["vectors"] if vector["stage"] == "bundle"]


def test_the_committed_files_are_what_the_command_makes(tmp_path: Path) -> None:
    """Those that need an engine within their tolerance, all else byte for byte."""
    make(tmp_path)
    made, kept = read_index(tmp_path), read_index()
    assert {k: v for k, v in made.items() if k != "vectors"} == {k: v for k, v in kept.items() if k != "vectors"}
    assert (tmp_path / "hostile.json").read_bytes() == (FOLDER / "hostile.json").read_bytes()
    for one, other in zip(made["vectors"], kept["vectors"], strict=True):
        assert _head(one) == _head(other)
        for key, value in other["expected"].items():
            wrong = problem(one["stage"], key, read(value), read(one["expected"][key], tmp_path))
            assert wrong is None, (one["stage"], one["name"], wrong)
    for name in cases.PICTURES:
        assert np.array_equal(np.asarray(Image.open(FOLDER / f"{name}.png")), cases.draw(name))


def _head(vector: dict[str, Any]) -> Any:
    return vector["stage"], vector["name"], vector["given"], list(vector["expected"])


def test_no_tensor_is_unused() -> None:
    text = (FOLDER / "vectors.json").read_text(encoding="utf-8")
    for path in (FOLDER / "data").iterdir():
        assert f'"data/{path.name}"' in text, path


@pytest.mark.parametrize("bundle", bundles(), ids=lambda path: path.stem)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_engine_and_format_keeps_the_masks(bundle: Path, backend: str) -> None:
    with Segmenter(bundle, backend=backend, device="cpu", precision="float32") as segmenter:
        encoded = {name: segmenter.encode(cases.draw(name)) for name in cases.PICTURES}
        assert len(WHOLE) > 10
        for vector in WHOLE:
            given = vector["given"]
            prompt = {key: given[key] for key in ("points", "labels", "box") if key in given}
            one = encoded[Path(given["picture"]).stem]
            got = cases.expected(one, one.predict(given["concept"], **prompt), clicked=bool(prompt))
            for key, value in vector["expected"].items():
                assert problem("bundle", key, read(value), got[key]) is None, vector["name"]


@pytest.mark.slow
def test_an_export_of_the_seeded_model_keeps_the_masks(tmp_path: Path) -> None:
    """What `--export` writes, which is the committed bundle but for versions of libraries."""
    from tests.vectors.model import export

    test_every_engine_and_format_keeps_the_masks(export(tmp_path / "anew.cgsam"), "onnxruntime")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: str(recipe["name"]))
def test_hostile_bundles_are_refused(recipe: dict[str, Any], tmp_path: Path) -> None:
    path = hostile.make(recipe, NEWEST, tmp_path)
    with pytest.raises(CgsamError) as caught, Segmenter(path, backend="onnxruntime", device="cpu") as segmenter:
        segmenter.segment(cases.draw("wide"), "car")
    for word in recipe["says"]:
        assert word in str(caught.value)


def test_what_the_vectors_refuse_is_refused() -> None:
    refused = [v for v in read_index()["vectors"] if v["expected"].get("refused")]
    assert {vector["name"] for vector in refused} == set(stages._REFUSED)
    for vector in refused:
        given = vector["given"]
        with pytest.raises(PromptError):
            check_clicks(given["points"], given["labels"], given["box"], (150, 100), given["click_slots"])


def test_a_deviation_beyond_its_tolerance_is_found() -> None:
    assert problem("map", "map", np.zeros(3), np.full(3, 1e-6)) is None
    assert problem("map", "map", np.zeros(3), np.full(3, 1e-5)) is not None
    assert problem("pixels", "pixels", np.asarray([1, 2]), np.asarray([1, 3])) is not None
    assert problem("bundle", "mask", np.ones(100), np.r_[np.ones(99), 0]) is not None
    assert problem("presence", "present", True, False) is not None
    assert problem("screening", "chances", [None, 0.5], [None, 0.5]) is None
    assert problem("screening", "chances", [None, 0.5], [0.1, 0.5]) is not None


def test_tensors_are_little_endian_rows_first(tmp_path: Path) -> None:
    store = Store()
    store.add("s", "n", {"a": np.asarray([[1, 2], [3, 4]], np.float32)}, {"b": np.asarray([7], np.uint8)})
    store.write(tmp_path, {})
    assert (tmp_path / "data" / "s-n.a.bin").read_bytes()[:8] == b"\0\0\x80\x3f\0\0\0\x40"
    assert (tmp_path / "data" / "s-n.b.bin").read_bytes() == b"\x07"
