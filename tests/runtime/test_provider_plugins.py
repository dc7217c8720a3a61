"""Providers that packages bring to ONNX Runtime as plugins: found, chosen, and given what they need."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cgsam_edge import Segmenter, shipped
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.errors import BackendError, InputError
from cgsam_edge.runtimes import contexts, mantissa, provider_plugins, telemetry
from cgsam_edge.runtimes import onnxruntime as runtime
from cgsam_edge.runtimes.devices import allowed
from cgsam_edge.runtimes.protocol import Device, SessionOptions
from cgsam_edge.runtimes.providers import CPU, PROVIDERS, Provider
from cgsam_edge.runtimes.selection import Wish

QNN_HERE = provider_plugins.installed(next(p for p in PROVIDERS if p.device == "QNN"))


def provider(device: str) -> Provider:
    return next(p for p in PROVIDERS if p.device == device)


class Engine:
    """Stands for an ONNX Runtime whose plugins see some hardware: the package's own answers, without its libraries."""

    __version__ = "1.32.0"

    class InferenceSession:
        get_provider_graph_assignment_info = None

    def __init__(self, *offered: tuple[str, str]) -> None:
        self.offered, self.registered = offered, list[tuple[str, str]]()

    def register_execution_provider_library(self, name: str, path: str) -> None:
        self.registered.append((name, path))

    def get_ep_devices(self) -> list[Any]:
        return [
            SimpleNamespace(ep_name=name, device=SimpleNamespace(type=SimpleNamespace(name=kind), vendor="Maker"))
            for name, kind in self.offered
        ]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install plugin packages that bring no library, and an engine that sees what it is given."""
    for module in MODULES:
        (tmp_path / f"{module}.py").write_text(f"def get_library_path():\n    return {module!r}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    def see(*offered: tuple[str, str], engine: Any = None) -> Engine:
        made = engine or Engine(*offered)
        load = telemetry.load
        monkeypatch.setattr(telemetry, "load", lambda name: made if name == "onnxruntime" else load(name))
        return made

    provider_plugins._register.cache_clear()
    yield see
    provider_plugins._register.cache_clear()
    for module in MODULES:
        sys.modules.pop(module, None)


MODULES = ("onnxruntime_qnn", "onnxruntime_ep_openvino", "onnxruntime_ep_webgpu")
QNN, OPENVINO = "QNNExecutionProvider", "OpenVINOExecutionProvider"


def test_a_plugin_is_registered_once_and_asked_for_its_hardware(plugin: Any) -> None:
    engine = plugin((QNN, "GPU"), (QNN, "NPU"), (OPENVINO, "CPU"))
    found = [provider_plugins.device(provider("QNN")) for _ in range(2)]
    assert engine.registered == [(QNN, "onnxruntime_qnn")]
    assert found[0] == Device("QNN", "npu", f"{QNN}, run by this project in a simulator alone, on Maker")
    assert [one.device.type.name for one in provider_plugins.hardware(provider("QNN"))] == ["NPU"]


def test_what_is_not_there_is_said(plugin: Any) -> None:
    plugin((OPENVINO, "CPU"))
    assert provider_plugins.device(provider("OpenVINO.CPU")).missing == ""
    assert provider_plugins.device(provider("OpenVINO.NPU")).missing == (
        "onnxruntime-ep-openvino sees no NPU here that it can use"
    )
    assert (
        provider_plugins.device(provider("WebGPU")).missing == "onnxruntime-ep-webgpu sees no GPU here that it can use"
    )


def test_a_plugin_that_cannot_be_loaded_costs_a_line(plugin: Any, tmp_path: Path) -> None:
    plugin((QNN, "NPU"))
    (tmp_path / "onnxruntime_qnn.py").write_text("raise OSError('libQnnHtp.so: not found')\n")
    missing = provider_plugins.device(provider("QNN")).missing
    assert missing == "onnxruntime-qnn cannot be used: OSError: libQnnHtp.so: not found"


def test_an_older_onnxruntime_is_refused(plugin: Any) -> None:
    plugin(engine=SimpleNamespace(__version__="1.22.0", InferenceSession=object))
    missing = provider_plugins.device(provider("QNN")).missing
    assert missing == "onnxruntime-qnn needs onnxruntime 1.24 or newer, got 1.22.0"


def test_a_simulator_is_used_by_name_alone(plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    plugin((QNN, "CPU"))
    found = provider_plugins.device(provider("QNN"))
    assert found.simulated
    assert [allowed((found,), wish) for wish in ("auto", "npu", "qnn")] == [[], [], [found]]


def test_a_simulator_must_know_the_chip(plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(BackendError, match=r"for which chip: give soc, .* 57 \(8 Gen 3\)"):
        runtime.OnnxRuntimeSession(Path("image.onnx"), SessionOptions(device="QNN"), provider("QNN"))


def test_rare_providers_are_listed_only_where_they_are() -> None:
    listed = {device.name for device in runtime.OnnxRuntimeBackend().devices()}
    assert {"QNN", "WebGPU", "OpenVINO", "CPU"} <= listed
    assert "XNNPACK" not in listed
    found = next(device for device in runtime.OnnxRuntimeBackend().devices() if device.name == "TensorRT")
    assert "never run by this project" in found.description


@pytest.mark.parametrize(
    ("device", "options", "expected"),
    [
        ("QNN", {"soc": 57}, {"backend_type": "htp", "soc_model": "57"}),
        ("QNN", {}, {"backend_type": "htp"}),
        ("OpenVINO.CPU", {}, {"load_config": json.dumps({"CPU": {"INFERENCE_PRECISION_HINT": "f32"}})}),
        ("OpenVINO.CPU", {"precision": "reduced"}, {}),
        ("OpenVINO.GPU", {}, {}),
        ("OpenVINO.GPU", {"proven": ()}, {"load_config": '{"GPU": {"INFERENCE_PRECISION_HINT": "f32"}}'}),
        ("OpenVINO.GPU", {"proven": ("bfloat16",)}, {"load_config": '{"GPU": {"INFERENCE_PRECISION_HINT": "f32"}}'}),
        ("OpenVINO.GPU", {"proven": ("bfloat16", "float16")}, {}),
        ("OpenVINO.GPU", {"proven": (), "precision": "reduced"}, {}),
        ("OpenVINO.NPU", {"proven": ()}, {}),
        ("OpenVINO.GPU", {"precision": "float32"}, {"load_config": '{"GPU": {"INFERENCE_PRECISION_HINT": "f32"}}'}),
    ],
)
def test_plugins_are_told_what_they_need(device: str, options: dict[str, Any], expected: dict[str, str]) -> None:
    assert provider(device).settings(SessionOptions(**options)) == expected


def test_float32_cannot_be_had_from_an_npu() -> None:
    with pytest.raises(BackendError, match="computes in float16 on an NPU"):
        provider("QNN").settings(SessionOptions(precision="float32"))


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "57", 10_000])
def test_a_chip_is_a_model_number(value: Any) -> None:
    with pytest.raises(InputError, match="soc must be a model number of Qualcomm from 1 to 9999"):
        SessionOptions(soc=value)


def test_a_chip_needs_its_device(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="say device='qnn' too"):
        Segmenter(soc=57)
    assert Wish(device="QNN", options=SessionOptions(soc=57)).options.soc == 57
    picture = tmp_path / "a.png"
    picture.touch()
    assert main(["segment", str(picture), "--soc", "57", "--output", str(tmp_path / "o")]) == 2
    assert "--soc 57 names a chip of Qualcomm; give --device qnn too" in capsys.readouterr().err


def rounded(bits: int, largest: float = np.inf) -> Any:
    """Return a product of matrices whose numbers have this many bits of mantissa."""

    def run(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        fractions, exponents = np.frexp(np.asarray(x, np.float64))
        near = np.ldexp(np.round(fractions * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1), exponents)
        near[np.abs(near) > largest] = np.inf
        return np.stack([near[:, 0] - near[:, 1]], axis=1)

    return run


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (rounded(23), "float32"),
        (rounded(10), "TF32"),
        (rounded(10, 65504), "float16"),
        (lambda x: x[:, :1].astype(np.float16) - x[:, 1:2].astype(np.float16), "float16"),
        (rounded(7), "bfloat16"),
        (rounded(3), "3 bits of mantissa"),
        (rounded(3, 448), "3 bits of mantissa, and no number above 65504"),
    ],
    ids=["float32", "TF32", "rounded to float16", "float16", "bfloat16", "three bits", "E4M3"],
)
def test_arithmetic_is_named_by_what_a_product_keeps(run: Any, name: str) -> None:
    with np.errstate(over="ignore"):
        assert mantissa.name(run) == name


def test_the_question_is_an_onnx_model_that_the_cpu_answers(tmp_path: Path) -> None:
    import onnx

    model = onnx.load_from_string(mantissa.model())
    onnx.checker.check_model(model, full_check=True)
    assert runtime._measured(provider("CPU"), SessionOptions()) == "float32"


@pytest.mark.parametrize(("precision", "refused"), [("default", True), ("float32", True), ("reduced", False)])
def test_less_than_float32_never_passes_for_it(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, precision: str, refused: bool
) -> None:
    """A CPU provider that computes in bfloat16 and does not say so, as OpenVINO's plugin does by default."""
    graph = Bundle(tiny_bundle).verified_graph("onnxruntime", "decoder")
    silent = Provider("Silent", "cpu", CPU, "a package")
    monkeypatch.setattr(mantissa, "name", lambda _: "bfloat16")
    runtime._measured.cache_clear()
    options = SessionOptions(precision=precision)
    if refused:
        with pytest.raises(BackendError, match=r"decoder\.onnx: Silent computes in bfloat16, .* float32 was expected"):
            runtime.OnnxRuntimeSession(graph, options, silent)
    else:
        assert runtime.OnnxRuntimeSession(graph, options, silent).facts().precision == "bfloat16"
    runtime._measured.cache_clear()


@pytest.mark.skipif(QNN_HERE, reason="onnxruntime-qnn is installed")
def test_compiling_without_the_package_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "o.cgsam"
    assert main(["compile", str(shipped.BUNDLE), "--soc", "57", "--output", str(out)]) == BackendError.exit_code
    assert "pip install onnxruntime-qnn" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(SystemExit) as end:
        main(["compile", str(shipped.BUNDLE), "--soc", "57,x", "--output", str(out)])
    assert end.value.code == 2


@pytest.mark.skipif(not QNN_HERE, reason="onnxruntime-qnn is not installed: pip install onnxruntime-qnn")
def test_the_simulator_computes_the_decoder_and_opens_what_was_compiled(tiny_bundle: Path, tmp_path: Path) -> None:
    graph = Bundle(tiny_bundle).verified_graph("onnxruntime", "decoder")
    backend = runtime.OnnxRuntimeBackend()
    made = contexts.beside(tmp_path / graph.name, 57)
    runtime.compile_context(graph, made, 57)
    (tmp_path / graph.name).write_bytes(graph.read_bytes())
    options = SessionOptions(device="QNN", soc=57)
    fresh, loaded = backend.open(graph, options), backend.open(tmp_path / graph.name, options)
    exact = backend.open(graph, SessionOptions())
    rng = np.random.default_rng(0)
    fed = {name: rng.random(shape, np.float32) for name, shape in exact._shapes.items()}  # type: ignore[attr-defined]
    out, again, right = (session.run(fed)["mask_logits"] for session in (fresh, loaded, exact))
    assert set(fresh.facts().nodes) == {QNN}
    assert (fresh.facts().cached, loaded.facts().cached) == (False, True)
    assert fresh.facts().precision == "float16"
    assert np.array_equal(out, again)
    assert 1e-6 < np.sqrt(np.mean((out - right) ** 2)) / right.std() < 0.05  # less than float32, and near it
