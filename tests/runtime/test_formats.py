"""Bundles of older formats: they run as they are, and `cgsam migrate` rewrites them without a change to any mask."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cgsam_edge import Segmenter
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
from tests.runtime.test_bundle import edit

FROZEN = Path(__file__).parents[1] / "frozen"

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")


@pytest.fixture(params=["float", "int8"])
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
