"""Loading trusts nothing."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgsam_edge import Segmenter
from cgsam_edge.bundle import Bundle, file_spec
from cgsam_edge.cli import main
from cgsam_edge.errors import BundleError
from cgsam_edge.manifest import Manifest

GRAPH = "onnxruntime/concept.onnx"


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy.cgsam"))


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


def relist(bundle: Path, name: str) -> None:
    spec = file_spec(bundle / name)
    edit(bundle, lambda m: m["files"].update({name: {"size": spec.size, "sha256": spec.sha256}}))


def test_manifest_round_trip(tiny_bundle: Path) -> None:
    manifest = Bundle(tiny_bundle).manifest
    assert Manifest.from_json(manifest.to_json(), "m") == manifest


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ({"image": {"macs": 7}}, 7),
        ({"image": {"macs": "7"}}, None),
        ({"image": 7}, None),
        ({"image": {}}, None),
        ({}, None),
    ],
)
def test_multiply_adds_may_be_missing(tiny_bundle: Path, cost: dict[str, Any], expected: int | None) -> None:
    assert replace(Bundle(tiny_bundle).manifest, cost=cost).macs("image") == expected


def _missing_graph(bundle: Path) -> str:
    (bundle / GRAPH).unlink()
    return r"concept\.onnx: missing from the bundle"


def _truncated_graph(bundle: Path) -> str:
    path = bundle / GRAPH
    path.write_bytes(path.read_bytes()[:-1])
    return r"concept\.onnx: truncated or altered: expected \d+ bytes"


def _altered_graph(bundle: Path) -> str:
    path = bundle / GRAPH
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return r"concept\.onnx: altered: its SHA-256"


def _altered_vocabulary(bundle: Path) -> str:
    path = bundle / "vocabulary.npz"
    path.write_bytes(path.read_bytes() + b"x")
    return r"vocabulary\.npz: truncated or altered"


def _pickled_vocabulary(bundle: Path) -> str:
    np.savez(bundle / "vocabulary.npz", features=np.asarray([{}], dtype=object), rows=np.zeros(1))
    relist(bundle, "vocabulary.npz")
    return r"vocabulary\.npz: not a vocabulary"


def _nan_vocabulary(bundle: Path) -> str:
    np.savez(bundle / "vocabulary.npz", features=np.full((4, 48), np.nan, "f4"), rows=np.zeros((4, 3, 8), "f4"))
    relist(bundle, "vocabulary.npz")
    return "holds NaN"


def _short_vocabulary(bundle: Path) -> str:
    np.savez(bundle / "vocabulary.npz", features=np.zeros((3, 48), "f4"), rows=np.zeros((3, 3, 8), "f4"))
    relist(bundle, "vocabulary.npz")
    return "4 entries, got float32 with shape"


def _newer(bundle: Path) -> str:
    edit(bundle, lambda m: m.update(format_version=99))
    return "format version 99 is newer than 2.*Upgrade"


def _outside(bundle: Path) -> str:
    outside = bundle.parent / "evil.onnx"
    shutil.move(bundle / GRAPH, outside)
    spec = file_spec(outside)

    def change(manifest: dict[str, Any]) -> None:
        manifest["targets"]["onnxruntime"]["concept"]["path"] = "../evil.onnx"
        manifest["files"]["../evil.onnx"] = {"size": spec.size, "sha256": spec.sha256}

    edit(bundle, change)
    return "leads out of the bundle; refused"


def _linked(bundle: Path) -> str:
    shutil.move(bundle / GRAPH, bundle.parent / "evil.onnx")
    (bundle / GRAPH).symlink_to(bundle.parent / "evil.onnx")
    return "leads out of the bundle; refused"


def _unlisted(bundle: Path) -> str:
    edit(bundle, lambda m: m["files"].pop(GRAPH))
    return r"does not list the file 'onnxruntime/concept\.onnx'"


def _no_target_graph(bundle: Path) -> str:
    edit(bundle, lambda m: m["targets"]["onnxruntime"].pop("decoder"))
    return "lacks the graph 'decoder'"


def _no_manifest(bundle: Path) -> str:
    (bundle / "manifest.json").unlink()
    return r"not a bundle \(it has no manifest\.json\)"


def _other_json(bundle: Path) -> str:
    (bundle / "manifest.json").write_text("[]")
    return "not the manifest of a cgsam-bundle"


def _no_json(bundle: Path) -> str:
    (bundle / "manifest.json").write_text("{")
    return "not JSON"


def _wrong_type(bundle: Path) -> str:
    edit(bundle, lambda m: m["geometry"].update(image_size="big"))
    return r"geometry\.image_size: expected int, got 'big'"


def _missing_key(bundle: Path) -> str:
    edit(bundle, lambda m: m["prompting"].pop("threshold"))
    return r"prompting: 'threshold' is missing"


def _no_bundle(bundle: Path) -> str:
    shutil.rmtree(bundle)
    return "no such bundle"


SPOILED = [
    _missing_graph, _truncated_graph, _altered_graph, _altered_vocabulary, _pickled_vocabulary, _nan_vocabulary,
    _short_vocabulary, _newer, _outside, _linked, _unlisted, _no_target_graph, _no_manifest, _other_json, _no_json,
    _wrong_type, _missing_key, _no_bundle,
]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda f: f.__name__)
def test_spoiled_bundles(spoil: Callable[[Path], str], bundle: Path) -> None:
    message = spoil(bundle)
    with pytest.raises(BundleError, match=message) as caught:
        Segmenter(bundle)
    assert "copy.cgsam" in str(caught.value)


def _weights_beside(bundle: Path) -> tuple[str, str]:
    (bundle / "onnxruntime" / "image.onnx.data").write_bytes(b"anything")
    return "onnxruntime", r"onnxruntime/image\.onnx\.data"


def _unlisted_bin(bundle: Path) -> tuple[str, str]:
    edit(bundle, lambda m: m["files"].pop("openvino/image.bin"))
    return "openvino", r"openvino/image\.bin"


def _unlisted_in_package(bundle: Path) -> tuple[str, str]:
    package = "coreml/graph.mlpackage"
    (bundle / package / "Data").mkdir(parents=True)
    for name in ("Manifest.json", ".DS_Store", "Data/weight.bin"):
        (bundle / package / name).write_bytes(b"{}")
    edit(bundle, lambda m: m["targets"].update(coreml={
        name: {**graph, "path": package} for name, graph in m["targets"]["openvino"].items()
    }))  # fmt: skip
    for name in ("Manifest.json", "Data/weight.bin"):
        relist(bundle, f"{package}/{name}")
    Bundle(bundle).verify()
    edit(bundle, lambda m: m["files"].pop(f"{package}/Data/weight.bin"))
    return "coreml", r"coreml/graph\.mlpackage/Data/weight\.bin"


@pytest.mark.parametrize(
    "spoil", [_weights_beside, _unlisted_bin, _unlisted_in_package], ids=["onnx.data", "bin", "mlpackage"]
)
def test_weights_that_no_hash_protects_are_refused(spoil: Callable[[Path], tuple[str, str]], tmp_path: Path) -> None:
    with zipfile.ZipFile(Path(__file__).parents[1] / "frozen" / "format1-float.zip") as archive:
        archive.extractall(tmp_path)
    bundle = tmp_path / "format1-float.cgsam"
    Bundle(bundle).verify()
    target, named = spoil(bundle)
    for check in (lambda: Bundle(bundle).verified_graph(target, "image"), lambda: Bundle(bundle).verify()):
        with pytest.raises(BundleError, match=f"{named}: not listed in manifest.json, so nothing protects it"):
            check()


def test_a_bundle_behind_a_link_is_changed_where_it_is(bundle: Path) -> None:
    """A link such as ``current.cgsam`` stays one, and the release that it leads to gets the new vocabulary."""
    link = bundle.parent / "current.cgsam"
    link.symlink_to(bundle.name)
    assert main(["vocab", "remove", str(link), "car"]) == 0
    assert link.readlink() == Path(bundle.name)
    assert "car" not in Bundle(bundle).vocabulary.names
    Bundle(link).verify()
    assert sorted(path.name for path in bundle.parent.iterdir()) == [bundle.name, link.name]
