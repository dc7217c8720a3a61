"""Which engine and device are taken, and what is said about the others."""

from __future__ import annotations

import json
import os
import platform
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgsam_edge import BackendError, BundleError, Segmenter
from cgsam_edge._schema import encode
from cgsam_edge.bundle import Bundle
from cgsam_edge.runtimes import cache, children, installed, registry, trial
from cgsam_edge.runtimes.opening import open_bundle
from cgsam_edge.runtimes.placement import Attempt, Candidate, Placement, judge
from cgsam_edge.runtimes.protocol import Backend, SessionOptions
from cgsam_edge.runtimes.selection import Wish
from tests.runtime import fakes
from tests.runtime.test_bundle import edit, relist


@pytest.fixture
def bundle(both: Path) -> Path:
    return both


ORT, OPENVINO = registry.BACKENDS["onnxruntime"], registry.BACKENDS["openvino"]


def placement(bundle: Path, **options: Any) -> Placement:
    with Segmenter(bundle, **options) as segmenter:
        return segmenter.placement


def verdicts(found: Placement) -> dict[str, str]:
    return {one.attempt.candidate.backend: one.verdict for one in found.tried}


def test_the_faster_one_by_its_own_measurement(bundle: Path, fresh: Path) -> None:
    found = placement(bundle)
    tried = {one.attempt.candidate.backend: one for one in found.tried}
    if "coreml" in tried and platform.system() != "Darwin":
        assert "Core ML predicts only on macOS" in tried.pop("coreml").verdict
    times = {name: one.attempt.total for name, one in tried.items()}
    assert set(times) == {"onnxruntime", "openvino"}
    assert found.backend == min(times, key=lambda name: times[name])
    assert found.reason == "measured"
    other = next(name for name in times if name != found.backend)
    assert verdicts(found)[found.backend] == "chosen: the fastest"
    assert verdicts(found)[other] == f"slower: {times[other]:.1f} ms against {times[found.backend]:.1f} ms"
    for one in tried.values():
        assert set(one.attempt.milliseconds) == set(one.attempt.errors) == {"clip", "image", "concept", "decoder"}
        assert max(one.attempt.errors.values()) < 1e-5
        assert one.attempt.mask_iou == 1


@pytest.mark.slow
def test_the_choice_is_remembered_until_it_is_refreshed(
    bundle: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = trial.attempts

    def count(backend: Backend, what: trial.Trial) -> trial.Findings:
        asked.append(backend.name)
        return real(backend, what)

    monkeypatch.setattr(trial, "attempts", count)
    first, second = placement(bundle), placement(bundle)
    assert len(asked) == 2
    assert (second.reason, second.backend) == ("remembered from an earlier measurement", first.backend)
    assert second.tried == first.tried
    opened = open_bundle(Bundle(bundle), Wish(refresh=True))
    assert (len(asked), opened.selection.reason) == (4, "measured")
    placement(bundle, threads=1)
    assert len(asked) == 6, "another number of threads is another question"
    (fresh / "choices").rename(fresh / "elsewhere")
    for path in (fresh / "elsewhere").iterdir():
        path.write_text("{")
    (fresh / "elsewhere").rename(fresh / "choices")
    assert placement(bundle).reason == "measured"


def spoil_weights(bundle: Path, value: float, share: float) -> None:
    """Overwrite a share of OpenVINO's weights of the image graph, and list the file as if it were right."""
    name = "openvino/image.bin"
    weights = np.fromfile(bundle / name, np.uint8)
    floats = weights[: len(weights) // 4 * 4].view(np.float32)
    places = np.flatnonzero(np.abs(floats) > 1e-3)  # leaves integers alone, which are shapes
    floats[places[: max(1, int(share * len(places)))]] = value
    weights.tofile(bundle / name)
    relist(bundle, name)


@pytest.mark.slow
def test_a_corrupted_graph_of_one_engine(bundle: Path, fresh: Path) -> None:
    spoil_weights(bundle, 0.5, 0.2)
    found = placement(bundle)
    assert found.backend == "onnxruntime"
    assert verdicts(found)["onnxruntime"] == "chosen: the only one usable"
    assert "rejected: the graph 'image' disagrees with PyTorch: error" in verdicts(found)["openvino"]
    assert "limit 1e-03" in verdicts(found)["openvino"]


@pytest.mark.slow
def test_a_graph_that_gives_nan(bundle: Path, fresh: Path) -> None:
    spoil_weights(bundle, np.nan, 0.01)
    found = placement(bundle)
    assert found.backend == "onnxruntime"
    assert "NaN or infinity" in verdicts(found)["openvino"]


@pytest.mark.slow
def test_a_damaged_target_is_left_out_and_not_remembered(bundle: Path, fresh: Path) -> None:
    path = bundle / "openvino" / "concept.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    found = placement(bundle)
    assert found.backend == "onnxruntime"
    assert "damaged: " in verdicts(found)["openvino"]
    assert "concept.bin: truncated or altered" in verdicts(found)["openvino"]
    with pytest.raises(BundleError, match=r"concept\.bin: truncated"):
        Segmenter(bundle, backend="openvino")
    path.write_bytes(whole)
    assert verdicts(placement(bundle))["openvino"].startswith(("chosen", "slower"))


def test_nan_engine(bundle: Path, fresh: Path, engines: Callable[..., None]) -> None:
    engines(fakes.NotANumber(), ORT)
    found = placement(bundle)
    assert found.backend == "onnxruntime"
    assert verdicts(found)["nan"] == "rejected: the graph 'clip' returned NaN or infinity"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_device_that_kills_the_process(bundle: Path, fresh: Path, engines: Callable[..., None]) -> None:
    engines(fakes.Crashing())
    found = placement(bundle)
    assert (found.backend, found.device) == ("crashing", "CPU")
    (gone,) = [one for one in found.tried if one.attempt.candidate.device == "GPU"]
    assert gone.verdict == "crashed: its process died of SIGKILL while opening the graph 'clip'"


def test_a_driver_that_kills_the_process(bundle: Path, fresh: Path, engines: Callable[..., None]) -> None:
    engines(fakes.CrashingDriver(), ORT)
    assert placement(bundle).backend == "onnxruntime"
    engines(fakes.CrashingDriver(), fakes.NotANumber())
    with pytest.raises(BackendError) as caught:
        Segmenter(bundle)
    assert "no engine can run this bundle here" in str(caught.value)
    assert "nan on CPU: rejected" in str(caught.value)
    assert "crashing-driver on any device: the engine's process ended with code 66 while listing devices" in str(
        caught.value
    )


@pytest.mark.slow
def test_an_engine_that_hangs(
    bundle: Path, fresh: Path, engines: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "STEP_LIMIT", 20.0)
    engines(fakes.Hanging(), ORT)
    found = placement(bundle)
    assert found.backend == "onnxruntime"
    assert "said nothing for 20 s while opening the graph 'clip'" in verdicts(found)["hanging"]


def test_engines_that_are_missing_or_too_old(
    bundle: Path, engines: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(fakes.Missing())
    with pytest.raises(BackendError, match=r"missing is not installed: pip install 'cgsam-edge\[missing\]'"):
        Segmenter(bundle)
    with pytest.raises(BackendError, match="missing is not installed"):
        Segmenter(bundle, backend="missing")
    engines(ORT, fakes.Missing())
    found = placement(bundle)
    assert (found.backend, found.reason) == ("onnxruntime", "the only candidate here")
    assert verdicts(found) == {"missing": "missing is not installed: pip install 'cgsam-edge[missing]'."}
    engines(ORT, OPENVINO, fakes.Missing())
    monkeypatch.setattr(installed, "_version", lambda _: "1.9.2")
    monkeypatch.setattr("onnxruntime.__version__", "1.9.2")
    with pytest.raises(BackendError, match=r"onnxruntime 1\.9\.2 is too old; expected 1\.20 or newer: pip install"):
        Segmenter(bundle, backend="onnxruntime")
    with pytest.raises(BackendError, match=r"openvino 1\.9\.2 is too old; expected 2025\.0 or newer"):
        Segmenter(bundle, backend="openvino", device="cpu")


def test_forced_choices_are_honoured(bundle: Path) -> None:
    for backend in ("onnxruntime", "openvino"):
        for device in ("cpu", "CPU"):
            found = placement(bundle, backend=backend, device=device)
            assert (found.backend, found.device, found.reason, found.tried) == (backend, "CPU", "forced", ())
            assert found.target == backend
        assert placement(bundle, backend=backend).reason == "the only candidate here"


def test_forced_choices_are_refused_with_the_reason(bundle: Path) -> None:
    with pytest.raises(BackendError, match=r"openvino has no device 'tpu'; here it has .*CPU, AUTO"):
        Segmenter(bundle, backend="openvino", device="tpu")
    with pytest.raises(BackendError, match="onnxruntime cannot use CUDA: this onnxruntime has no CUDAExecution"):
        Segmenter(bundle, backend="onnxruntime", device="cuda")
    with pytest.raises(BackendError) as caught:
        Segmenter(bundle, device="tpu")
    assert "onnxruntime has no device 'tpu'" in str(caught.value)
    assert "openvino has no device 'tpu'" in str(caught.value)


def test_targets_that_are_not_held(bundle: Path, tmp_path: Path) -> None:
    edit(bundle, lambda m: m["targets"].pop("onnxruntime"))
    with pytest.raises(BackendError, match="holds no graphs for 'onnxruntime', only for openvino"):
        Segmenter(bundle, backend="onnxruntime")
    assert placement(bundle).reason == "the only candidate here"


def test_onnx_graphs_serve_both_engines(tiny_bundle: Path) -> None:
    found = placement(tiny_bundle, backend="openvino")
    assert (found.backend, found.target) == ("openvino", "onnxruntime")


@pytest.mark.slow
def test_openvinos_own_choice(bundle: Path) -> None:
    found = placement(bundle, device="AUTO")
    assert (found.backend, found.device) == ("openvino", "AUTO")
    assert [("CPU" in graph.nodes) for graph in found.graphs] == [True] * 4


@pytest.mark.slow
def test_a_cache_that_cannot_be_written(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(cache.ENVIRONMENT, str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match=r"cannot be written .* Continuing without a cache") as caught:
        first = placement(bundle)
    assert len([w for w in caught if "cannot be written" in str(w.message)]) == 1
    assert first.reason == "measured"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert placement(bundle).reason == "measured"


def test_the_second_opening_finds_what_was_compiled(bundle: Path, fresh: Path) -> None:
    options: dict[str, Any] = {"backend": "openvino", "device": "cpu"}
    assert [graph.cached for graph in placement(bundle, **options).graphs] == [False] * 4
    assert [graph.cached for graph in placement(bundle, **options).graphs] == [True] * 4
    spoil_weights(bundle, 0.5, 0.2)
    assert not placement(bundle, **options).graphs[0].cached, "another bundle"


def test_without_examples_nothing_is_measured(bundle: Path, fresh: Path) -> None:
    edit(bundle, lambda m: m["files"].pop("examples.npz"))
    found = placement(bundle)
    assert (found.backend, found.device) == ("onnxruntime", "CPU")
    assert "holds no examples.npz (export it again)" in found.reason
    with pytest.raises(BackendError, match="has no device 'tpu'"):
        Segmenter(bundle, device="tpu")


def test_a_frozen_program_starts_no_children(bundle: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert placement(bundle).reason == "not measured: this program is frozen, so it cannot start another Python process"


@pytest.mark.slow
def test_a_remembered_choice_that_does_not_open_any_more(
    bundle: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = placement(bundle)
    chosen = registry.BACKENDS[first.backend]

    def refuse(path: Path, options: SessionOptions) -> None:
        raise BackendError("the driver went away")

    monkeypatch.setattr(chosen, "open", refuse)
    found = placement(bundle)
    assert found.backend != first.backend
    assert "the first choice did not open" in found.reason
    assert verdicts(found)[first.backend] == "does not open: the driver went away"


def test_a_placement_is_plain_data(bundle: Path) -> None:
    found = placement(bundle, backend="onnxruntime", threads=1, performance="low-power")
    assert (found.threads, found.performance, found.precision) == (1, "low-power", "float32")
    assert json.loads(json.dumps(encode(found)))["graphs"][0]["nodes"]["CPUExecutionProvider"] > 50


def test_judging() -> None:
    slow, fast, wrong = (Candidate("engine", "target", name) for name in ("slow", "fast", "wrong"))
    judged = judge([Attempt(slow, "", {"image": 30.0}), Attempt(wrong, "rejected"), Attempt(fast, "", {"image": 10.0})])
    assert [(str(one.attempt.candidate), one.verdict) for one in judged] == [
        ("engine on fast", "chosen: the fastest"),
        ("engine on slow", "slower: 30.0 ms against 10.0 ms"),
        ("engine on wrong", "rejected"),
    ]
