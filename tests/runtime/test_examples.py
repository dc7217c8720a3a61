"""The examples in a bundle, and what replays them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgsam_edge import shipped
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.errors import BackendError, BundleError
from cgsam_edge.examples import EXAMPLES_FILE, FULL_SIZE, SAMPLES, Examples, compare, limit, sample
from tests.commands import cgsam, fails
from tests.runtime import fakes
from tests.runtime.test_bundle import edit, relist
from tests.runtime.test_selection import spoil_weights


@pytest.fixture
def bundle(both: Path) -> Path:
    return both


def load(bundle: Path) -> Examples:
    return Examples.load(bundle / EXAMPLES_FILE)


def test_what_an_export_stores(bundle: Path, tmp_path: Path) -> None:
    examples, graphs = load(bundle), Bundle(bundle).graphs("onnxruntime")
    assert EXAMPLES_FILE in Bundle(bundle).manifest.files
    assert examples.picture.shape == (128, 192, 3)
    assert set(examples.inputs["concept"]) == {"similarity", "text_row"}
    assert set(examples.inputs["decoder"]) == {"points", "labels", "dense_prompt"}
    for name, spec in graphs.items():
        assert {t.name: np.prod(t.shape) for t in spec.outputs} == {
            t: a.size for t, a in examples.outputs[name].items()
        }
    examples.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (bundle / EXAMPLES_FILE).read_bytes()


def test_large_tensors_are_sampled_at_places_that_another_language_finds() -> None:
    values = np.arange(FULL_SIZE + 1, dtype=np.float32)
    got = sample(values)
    assert got.shape == (SAMPLES,)
    for k in (0, 1, 77):
        z = ((k + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        assert got[k] == (z ^ (z >> 31)) % values.size
    np.testing.assert_array_equal(sample(values[:-1].reshape(256, 256)), values[:-1])


def test_comparing() -> None:
    expected = {"mask_logits": np.asarray([-1, 1, -1, 1], np.float32), "iou": np.asarray([0.5], np.float32)}
    same = compare("decoder", expected, {"mask_logits": expected["mask_logits"], "iou": np.asarray([[0.5]], "f4")})
    assert (same.rms_error, same.max_error, same.finite, same.mask_iou) == (0, 0, True, 1)
    other = {"mask_logits": np.asarray([1, 1, -1, 1], np.float32), "iou": expected["iou"]}
    got = compare("decoder", expected, other)
    assert (got.rms_error, got.max_error, got.mask_iou) == (1, 2, 2 / 3)
    broken = compare("decoder", expected, {**other, "iou": np.asarray([np.nan], "f4")})
    assert not broken.finite
    with pytest.raises(BackendError, match="gave no 'iou'"):
        compare("decoder", expected, {"mask_logits": expected["mask_logits"]})


@pytest.mark.parametrize("stored", [4, SAMPLES - 1, FULL_SIZE - 1, FULL_SIZE])
@pytest.mark.parametrize("more", [-1, 1, FULL_SIZE])
def test_an_output_of_another_size_is_the_engines_fault(stored: int, more: int) -> None:
    expected = {"mask_logits": np.linspace(-1, 1, stored, dtype=np.float32)}
    got = {"mask_logits": np.zeros((1, 1, 1, stored + more), np.float32)}
    with pytest.raises(
        BackendError, match=rf"gave 'mask_logits' of shape \(1, 1, 1, {stored + more}\).*holds {stored}"
    ):
        compare("decoder", expected, got)


def test_a_sample_of_a_large_output_is_compared() -> None:
    whole = np.linspace(-1, 1, FULL_SIZE + 1, dtype=np.float32)
    got = compare("image", {"tokens": sample(whole)}, {"tokens": whole.reshape(1, -1)})
    assert (got.rms_error, got.max_error, got.mask_iou) == (0, 0, None)
    with pytest.raises(BackendError, match=rf"hold {FULL_SIZE} values; it holds {SAMPLES}"):
        compare("image", {"tokens": sample(whole)}, {"tokens": whole[1:]})


def test_limits() -> None:
    assert limit("fp32", "float32") < limit("fp16", "float32") == limit("fp32", "float16") < limit("fp32", "bfloat16")
    assert limit("fp32", "as the provider chooses") == limit("fp32", "float16")


@pytest.mark.parametrize("spoilt", ["text", "float picture", "odd key"])
def test_spoilt_archives(spoilt: str, tmp_path: Path) -> None:
    path = tmp_path / EXAMPLES_FILE
    picture = np.zeros((2, 2, 3), np.uint8)
    if spoilt == "text":
        path.write_text("no archive")
    elif spoilt == "float picture":
        np.savez(path, picture=picture.astype(np.float32))
    else:
        np.savez(path, picture=picture, strange=picture)
    with pytest.raises(BundleError, match="not an archive of examples"):
        Examples.load(path)
    with pytest.raises(BundleError, match="no example of similarity, which the graph 'concept' takes"):
        Examples(picture, {}, {}).feed("concept", ["tokens", "similarity"], {"tokens": np.zeros(1, np.float32)}, 8)


def test_verify_of_one_engine(bundle: Path, tmp_path: Path) -> None:
    one = cgsam("verify", bundle, "--backend", "onnxruntime", "--device", "cpu", cwd=tmp_path)
    assert (one.returncode, one.stdout.count("agrees")) == (0, 1)
    assert "all files verified" in one.stdout
    assert "mask IoU 1.0000; errors up to 1e-03 pass" in one.stdout
    assert "openvino: not replayed" in one.stdout


@pytest.mark.slow
def test_verify(bundle: Path, tmp_path: Path) -> None:
    done = cgsam("verify", bundle, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in (
        "all files verified",
        "on CPU, target onnxruntime, float32: agrees with PyTorch",
        "on CPU, target openvino, float32: agrees with PyTorch",
        "mask IoU 1.0000; errors up to 1e-03 pass",
    ):
        assert words in done.stdout
    assert done.stdout.count("agrees") == 3, "ONNX Runtime, and OpenVINO with either target"


@pytest.mark.slow
def test_verify_without_a_bundle_replays_the_shipped_one(tmp_path: Path) -> None:
    done = cgsam("verify", "--backend", "onnxruntime", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{shipped.BUNDLE}: ")
    assert "agrees with PyTorch" in done.stdout


def test_verify_fails_where_an_engine_disagrees(bundle: Path, tmp_path: Path) -> None:
    spoil_weights(bundle, 0.5, 0.2)
    done = cgsam("verify", bundle, "--backend", "openvino", cwd=tmp_path)
    assert done.returncode == 3
    assert "target openvino, float32: rejected: the graph 'image' disagrees with PyTorch" in done.stdout
    assert "target onnxruntime, float32: agrees" in done.stdout


def test_verify_needs_something_to_verify(bundle: Path, tmp_path: Path) -> None:
    fails(cgsam("verify", bundle, "--device", "cuda", cwd=tmp_path), 3, "no engine of this machine has", "cgsam doctor")
    edit(bundle, lambda m: m["files"].pop(EXAMPLES_FILE))
    fails(cgsam("verify", bundle, cwd=tmp_path), 3, "holds no examples.npz", "Export it again")
    (bundle / "openvino" / "image.bin").write_bytes(b"x")
    fails(cgsam("verify", bundle, cwd=tmp_path), 3, "image.bin: truncated or altered")


@pytest.mark.slow
def test_doctor(bundle: Path, fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    alone = capsys.readouterr().out
    assert "choice:" not in alone
    for words in ("cgsam-edge 0.", "can be written", "onnxruntime 1.", "openvino 20", "CUDA      not here: this onnx"):
        assert words in alone
    assert main(["doctor", str(bundle)]) == 0
    text = capsys.readouterr().out
    assert "(measured)" in text
    assert text.count("mask IoU 1.0000") == 2
    assert "chosen: the fastest" in text
    assert "slower: " in text
    assert main(["doctor", str(bundle), "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["reason"] == "remembered from an earlier measurement"
    assert {engine["name"] for engine in document["engines"]} >= {"onnxruntime", "openvino"}
    assert main(["doctor", str(bundle), "--refresh", "--threads", "1"]) == 0
    assert "(measured)" in capsys.readouterr().out


def test_doctor_when_nothing_works(
    bundle: Path, fresh: Path, capsys: pytest.CaptureFixture[str], engines: Callable[..., None]
) -> None:
    engines(fakes.NotANumber(), fakes.Missing(), fakes.CrashingDriver())
    assert main(["doctor", str(bundle)]) == 3
    text = capsys.readouterr().out
    assert "choice: none (no engine can run this bundle here" in text
    assert "missing is not installed: pip install" in text
    assert "the engine's process ended with code 66 while listing devices" in text
    assert "returned NaN or infinity" in text


def test_a_damaged_examples_file(bundle: Path, tmp_path: Path) -> None:
    (bundle / EXAMPLES_FILE).write_bytes(b"no archive")
    relist(bundle, EXAMPLES_FILE)
    done = cgsam("verify", bundle, "--backend", "onnxruntime", cwd=tmp_path)
    fails(done, 3, "examples.npz: not an archive of examples")
