"""Bundles of older formats: they run as they are, and `cgsam migrate` rewrites them without a change to any mask."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto

from cgsam_edge import Segmenter, split_onnx
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.errors import BackendError, BundleError, InputError
from cgsam_edge.examples import Examples
from cgsam_edge.manifest import CARD_FILE, GRAPH_NAMES
from cgsam_edge.migrate import migrate
from cgsam_edge.runtimes import telemetry
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.runtimes.registry import BACKENDS
from cgsam_edge.runtimes.survey import replay
from tests.conftest import slow
from tests.runtime.test_bundle import edit

FROZEN = Path(__file__).parents[1] / "frozen"

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")


@pytest.fixture(params=["float", slow("int8")])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with zipfile.ZipFile(FROZEN / f"format1-{request.param}.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path / f"format1-{request.param}.cgsam"


def features_and_logits(bundle: Path, backend: str) -> dict[str, NDArray[np.float32]]:
    """All that the graphs give for the example's picture."""
    with Segmenter(bundle, backend=backend, device="cpu", precision="float32", threads=1) as segmenter:
        encoded = segmenter.encode(Examples.load(bundle / "examples.npz").picture)
        return {**encoded.features, **{one.name: one.logits for one in encoded.segment().values()}}


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_format_1_is_read_and_computes_what_pytorch_computed(old: Path, backend: str) -> None:
    bundle = Bundle(old)
    assert bundle.manifest.format_version == 1
    assert bundle.manifest.graph_names == ("image", "concept", "decoder")
    bundle.verify()
    (attempt,) = replay(bundle, BACKENDS[backend], backend, SessionOptions(), "cpu").attempts
    assert attempt.problem == ""
    assert set(attempt.errors) == {"image", "concept", "decoder"}
    with Segmenter(old, backend=backend) as segmenter:
        assert segmenter.concepts == ("car", "road", "tree")
        assert [one.graph for one in segmenter.placement.graphs] == ["image", "concept", "decoder"]


def test_migration_changes_no_mask(old: Path) -> None:
    before = {backend: features_and_logits(old, backend) for backend in ("onnxruntime", "openvino")}
    size = Bundle(old).size
    assert migrate(old) == old
    bundle = Bundle(old)
    bundle.verify()
    assert bundle.manifest.format_version == 2
    for target in ("onnxruntime", "openvino"):
        assert tuple(bundle.graphs(target)) == GRAPH_NAMES
    after = {backend: features_and_logits(old, backend) for backend in before}
    for name, values in before["onnxruntime"].items():
        np.testing.assert_array_equal(after["onnxruntime"][name], values, err_msg=name)
    for name, values in before["openvino"].items():
        np.testing.assert_allclose(after["openvino"][name], values, atol=2e-5 * np.abs(values).max(), err_msg=name)
    assert bundle.size < 1.15 * size  # constants are not written twice
    for backend in ("onnxruntime", "openvino"):
        (attempt,) = replay(bundle, BACKENDS[backend], backend, SessionOptions(), "cpu").attempts
        assert attempt.problem == ""
        assert set(attempt.errors) == set(GRAPH_NAMES)


def test_the_parts_cost_together_what_the_whole_did(old: Path) -> None:
    whole = Bundle(old).manifest.macs("image")
    manifest = Bundle(migrate(old, old.parent / "new.cgsam")).manifest
    parts = [manifest.macs(name) for name in ("clip", "image")]
    assert None not in parts
    assert sum(parts) == pytest.approx(whole, rel=0.02)  # type: ignore[arg-type]


def test_clip_computes_in_what_the_graph_that_held_it_was_proven_in(old: Path) -> None:
    def proof(kind: str, **graphs: str) -> dict[str, object]:
        return {kind: {"graphs": graphs, "by": "an engine", "emulated": False, "pictures": 2}}

    proofs = {
        "onnxruntime": {
            **proof("bfloat16", image="bfloat16", concept="bfloat16", decoder="float32"),
            **proof("float16", image="float32", concept="float16", decoder="float16"),
        },
        "openvino": proof("bfloat16", image="bfloat16", concept="bfloat16", decoder="bfloat16"),
    }
    edit(old, lambda m: m.update(arithmetic=proofs, quality={"gate": {"onnxruntime": {}, "openvino": {}}}))
    manifest = Bundle(migrate(old, drop=["openvino"])).manifest
    assert {
        target: {kind: one.graphs for kind, one in held.items()} for target, held in manifest.arithmetic.items()
    } == {
        "onnxruntime": {
            "bfloat16": {"clip": "bfloat16", "image": "bfloat16", "concept": "bfloat16", "decoder": "float32"},
            "float16": {"clip": "float32", "image": "float32", "concept": "float16", "decoder": "float16"},
        }
    }
    assert list(manifest.quality["gate"]) == ["onnxruntime"]


class Endless:
    """A model of more than protobuf can write in one piece, or count: what it holds is small."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def ByteSize(self) -> int:  # noqa: N802
        raise EncodeError("Failed to serialize proto")


def test_parts_beyond_the_limit_of_protobuf_keep_their_weights_beside_them(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = features_and_logits(old, "onnxruntime")
    part = split_onnx._part
    monkeypatch.setattr(split_onnx, "_part", lambda *given: Endless(part(*given)))
    monkeypatch.setattr(split_onnx, "_PROTOBUF_BYTES", 10_000)
    bundle = Bundle(migrate(old, drop=["openvino"]))
    assert {"onnxruntime/clip.onnx.data", "onnxruntime/image.onnx.data"} <= bundle.manifest.files.keys()
    assert (old / "onnxruntime" / "image.onnx").stat().st_size < 200_000
    for name, values in features_and_logits(old, "onnxruntime").items():
        np.testing.assert_array_equal(before[name], values, err_msg=name)


def test_bytes_of_tensors_are_those_of_the_file(old: Path) -> None:
    model = onnx.load(str(old / "onnxruntime" / "image.onnx"))
    assert split_onnx._bytes(model) == pytest.approx(model.ByteSize(), rel=0.3)
    assert split_onnx._bytes(model) < model.ByteSize()
    floats = TensorProto(data_type=TensorProto.FLOAT, dims=[2, 3], float_data=[0.0] * 6)
    constant = onnx.helper.make_node("Constant", [], ["c"], value=floats)
    assert split_onnx._bytes(onnx.helper.make_model(onnx.helper.make_graph([constant], "g", [], []))) == 24


def test_a_part_that_cannot_be_written_names_the_file(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = split_onnx._part
    monkeypatch.setattr(split_onnx, "_part", lambda *given: Endless(part(*given)))
    monkeypatch.setattr(split_onnx, "_bytes", lambda model: model.ByteSize())
    with pytest.raises(BundleError, match=r"image\.onnx: its part 'clip' cannot be written as ONNX: Failed to serial"):
        migrate(old)
    assert Bundle(old).manifest.format_version == 1


def test_another_bundle_is_written_and_the_old_one_stays(old: Path) -> None:
    (old / CARD_FILE).write_text("a card", encoding="utf-8")
    before = {path.name: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    new = old.parent / "new.cgsam"
    assert main(["migrate", str(old), "--output", str(new), "--drop", "openvino"]) == 0
    assert {path.name: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
    assert (new / CARD_FILE).read_text(encoding="utf-8") == "a card"
    bundle = Bundle(new)
    assert set(bundle.manifest.targets) == {"onnxruntime"}
    held = {path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()}
    assert held == {*bundle.manifest.files, "manifest.json", CARD_FILE}


def test_a_link_stays_one(old: Path) -> None:
    link = old.parent / "link.cgsam"
    link.symlink_to(old)
    migrate(link)
    assert link.is_symlink()
    assert Bundle(old).manifest.format_version == 2


def test_what_cannot_be_migrated(tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="has format 2 already"):
        migrate(tiny_bundle)
    with pytest.raises(InputError, match="holds no target 'foo' to drop"):
        migrate(tiny_bundle, drop=["foo"])
    with zipfile.ZipFile(FROZEN / "format1-float.zip") as archive:
        archive.extractall(tmp_path)
    old = tmp_path / "format1-float.cgsam"
    with pytest.raises(InputError, match="holds no target 'coreml' to drop; it holds onnxruntime, openvino"):
        migrate(old, drop=["coreml"])
    with pytest.raises(BundleError, match="no target would be left"):
        migrate(old, drop=["onnxruntime", "openvino"])
    edit(old, lambda m: m["targets"].update(coreml=m["targets"]["openvino"]))
    assert main(["migrate", str(old)]) == 3
    assert re.search("'coreml' cannot be rewritten without the checkpoint.*--drop coreml", capsys.readouterr().err)
    shutil.rmtree(old / "openvino")
    with pytest.raises(BundleError, match="missing from the bundle"):
        migrate(old, drop=["coreml"])
    assert {path.name for path in tmp_path.iterdir()} == {"format1-float.cgsam"}


def test_without_the_package_it_says_what_to_install(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(telemetry, "load", missing)
    with pytest.raises(BackendError, match="pip install onnx"):
        migrate(old)
    assert Bundle(old).manifest.format_version == 1
