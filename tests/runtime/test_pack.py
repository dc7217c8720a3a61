"""`cgsam pack`: one file for a web page."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cgsam_edge import Segmenter
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.errors import BundleError, InputError, OutputError
from cgsam_edge.pack import pack, packed_manifest
from cgsam_edge.shipped import BUNDLE

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def test_the_unpacked_file_is_a_bundle_with_the_same_masks(tmp_path: Path) -> None:
    assert main(["pack", str(BUNDLE), "--output", str(tmp_path / "scenes.zip")]) == 0
    with zipfile.ZipFile(tmp_path / "scenes.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "scenes.cgsam")
    held = {path.relative_to(tmp_path / "scenes.cgsam").as_posix() for path in (tmp_path / "scenes.cgsam").rglob("*.*")}
    graphs = {graph.path for graph in Bundle(BUNDLE).graphs("onnxruntime").values()}
    assert held == {"manifest.json", "vocabulary.npz", *graphs}
    Bundle(tmp_path / "scenes.cgsam").verify()
    logits = []
    for path in (BUNDLE, tmp_path / "scenes.cgsam"):
        with Segmenter(path, backend="onnxruntime", device="cpu") as segmenter:
            logits.append(segmenter.segment(PICTURE, "road")["road"].logits)
    np.testing.assert_array_equal(logits[0], logits[1])


def test_the_same_bundle_gives_the_same_bytes_and_replaces_them(tmp_path: Path) -> None:
    digests = set()
    for name in ("a.zip", "b.zip", "a.zip"):
        size = pack(Bundle(BUNDLE), tmp_path / name)
        content = (tmp_path / name).read_bytes()
        assert size == len(content)
        digests.add(hashlib.sha256(content).hexdigest())
    assert len(digests) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip"]


def test_other_targets_and_the_graphs_for_new_names_stay_behind(tmp_path: Path) -> None:
    bundle = Bundle(BUNDLE)
    graphs = dict(bundle.manifest.targets["onnxruntime"])
    bundle.manifest.targets["openvino"] = dict(graphs)
    bundle.manifest.targets["onnxruntime"]["text"] = graphs["decoder"]
    bundle.manifest.parity["openvino"] = []
    bundle.manifest.arithmetic["openvino"] = dict(bundle.manifest.arithmetic["onnxruntime"])
    bundle.manifest.quality["gate"]["openvino"] = {}
    bundle.manifest.files[f"{graphs['decoder'].path}.qnn-57.onnx"] = bundle.manifest.files[graphs["decoder"].path]
    bundle.manifest.files[f"{graphs['decoder'].path}.data"] = bundle.manifest.files[graphs["decoder"].path]
    bundle.manifest.created["compiled"] = {"qnn": [57]}
    made = packed_manifest(bundle, "onnxruntime")
    assert list(made.targets) == ["onnxruntime"]
    assert "text" not in made.targets["onnxruntime"]
    assert "openvino" not in made.parity
    assert list(made.arithmetic) == list(made.quality["gate"]) == ["onnxruntime"]
    assert made.arithmetic["onnxruntime"] == bundle.manifest.arithmetic["onnxruntime"]
    beside = {name for name in made.files if name.startswith(f"{graphs['decoder'].path}.")}
    assert beside == {f"{graphs['decoder'].path}.data"}  # weights, and nothing compiled for an NPU
    assert "compiled" not in made.created
    assert "examples.npz" not in made.files
    assert json.loads(made.to_json())["format_version"] == bundle.manifest.format_version


def test_what_is_refused(tmp_path: Path) -> None:
    bundle = Bundle(BUNDLE)
    with pytest.raises(InputError, match=r"must end in \.zip"):
        pack(bundle, tmp_path / "scenes.cgsam")
    with pytest.raises(BundleError, match="holds no graphs for 'coreml'"):
        pack(bundle, tmp_path / "a.zip", "coreml")
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(OutputError, match="no packed bundle; it is left alone"):
        pack(bundle, tmp_path / "photos.zip")
    with pytest.raises(OutputError, match="could not be written"):
        pack(bundle, tmp_path / "nowhere" / "a.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["photos.zip"]
