"""What graphs compute in: what the bundle's export proved, what is asked for, and what the device has."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgsam_edge import Segmenter, arithmetic
from cgsam_edge.arithmetic import ArithmeticProof
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.errors import BundleError
from cgsam_edge.examples import LIMITS
from cgsam_edge.manifest import FILE_NAME, GRAPH_NAMES, TEXT_GRAPHS
from cgsam_edge.runtimes import openvino as runtime
from cgsam_edge.runtimes.judgement import load_examples, replay_on
from cgsam_edge.runtimes.opening import open_on
from cgsam_edge.runtimes.openvino import OpenVinoBackend
from cgsam_edge.runtimes.protocol import Device, Session, SessionFacts, SessionOptions
from cgsam_edge.runtimes.registry import BACKENDS

FOUND = {"mean_iou": 0.994, "drawn_iou": 0.926, "class_miou": [0.6357, 0.6355], "flips": 1}
MIXED = dict.fromkeys(GRAPH_NAMES, "bfloat16") | {"decoder": "float32"}


def proof(graphs: Mapping[str, str] = MIXED) -> dict[str, Any]:
    return {"graphs": dict(graphs), "by": "openvino 2026.4 on CPU", "emulated": False, "pictures": 8, "found": FOUND}


def with_proof(bundle: Path, folder: Path, value: Any) -> Path:
    """Copy a bundle, and let its manifest say what was proven."""
    path = folder / "proven.cgsam"
    shutil.copytree(bundle, path)
    manifest = json.loads((path / FILE_NAME).read_text(encoding="utf-8"))
    manifest["arithmetic"] = value
    (path / FILE_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    return path


@pytest.fixture
def proven_bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return with_proof(tiny_bundle, tmp_path, {"onnxruntime": {"bfloat16": proof()}})


def needs_bf16() -> None:
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no BF16")


def computed(bundle: Path, precision: str = "default", backend: str = "openvino") -> dict[str, tuple[str, str]]:
    with Segmenter(bundle, backend=backend, device="cpu", precision=precision) as segmenter:
        return {one.graph: (one.precision, one.why) for one in segmenter.placement.graphs}


def test_each_graph_computes_in_what_was_proven_for_it(proven_bundle: Path) -> None:
    needs_bf16()
    expected = dict.fromkeys(GRAPH_NAMES, ("bfloat16", "proven by the export"))
    expected["decoder"] = ("float32", "less did not pass the export's gate")
    assert computed(proven_bundle) == expected
    assert set(computed(proven_bundle, "float32").values()) == {("float32", "asked for")}
    with Segmenter(proven_bundle, backend="openvino", device="cpu") as segmenter:
        assert segmenter.placement.precision == "bfloat16, float32 in decoder"


def test_without_a_proof_a_cpu_computes_in_float32(tiny_bundle: Path) -> None:
    assert set(computed(tiny_bundle).values()) == {("float32", "the bundle holds no proof of less")}


def test_onnx_runtime_has_float32_alone(proven_bundle: Path) -> None:
    found = computed(proven_bundle, backend="onnxruntime")
    assert {precision for precision, _ in found.values()} == {"float32"}
    assert found["image"][1] == "the device has no bfloat16"


@pytest.mark.slow
def test_reduced_warns_of_what_is_not_proven(tiny_bundle: Path, proven_bundle: Path, tmp_path: Path) -> None:
    needs_bf16()
    with pytest.warns(UserWarning, match=r"computes the graphs decoder in bfloat16, which its export did not prove"):
        found = computed(proven_bundle, "reduced")
    assert found["decoder"] == ("bfloat16", "asked for, not proven")
    with pytest.warns(UserWarning, match=r"computes the graphs .*image, concept, decoder in bfloat16"):
        computed(tiny_bundle, "reduced")
    whole = {"onnxruntime": {"bfloat16": proof(dict.fromkeys(GRAPH_NAMES, "bfloat16"))}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        computed(with_proof(tiny_bundle, tmp_path / "whole", whole), "reduced")


@pytest.mark.slow
def test_masks_of_proven_arithmetic_are_those_of_it(tiny_bundle: Path, proven_bundle: Path) -> None:
    """What is said is what is done: the logits differ from those in float32, by no more than BF16 does."""
    needs_bf16()
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    made = []
    for bundle, precision in ((tiny_bundle, "default"), (proven_bundle, "float32"), (proven_bundle, "default")):
        with Segmenter(bundle, backend="openvino", device="cpu", precision=precision) as segmenter:
            features = segmenter.encode(picture).features
            made.append(features["clip_features"])
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    assert np.abs(made[0] - made[2]).max() < 0.1


def test_errors_are_held_to_the_arithmetic_of_their_graph_and_of_those_before_it(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    needs_bf16()
    last = dict.fromkeys(GRAPH_NAMES, "float32") | {"decoder": "bfloat16"}
    bundle = Bundle(with_proof(tiny_bundle, tmp_path, {"onnxruntime": {"bfloat16": proof(last)}}))
    opened = open_on(bundle, OpenVinoBackend(), "cpu", SessionOptions())
    examples = load_examples(bundle)
    assert replay_on(opened.candidate, bundle, examples, opened.sessions).usable
    assert replay_on(opened.candidate, bundle, examples, opened.sessions).limit == LIMITS["bfloat16"]
    first = opened.sessions["image"]

    class Wrong:
        """The first graph with an error that float32 does not have and BF16 may have."""

        def __getattr__(self, name: str) -> Any:
            return getattr(first, name)

        def run(self, inputs: Any) -> Any:
            return {name: made + 0.05 * made.std() for name, made in first.run(inputs).items()}

    spoilt = {**opened.sessions, "image": Wrong()}
    assert "the graph 'image' disagrees with PyTorch" in replay_on(opened.candidate, bundle, examples, spoilt).problem


def test_graphs_of_text_are_held_to_their_own_arithmetic(text_bundle: Path) -> None:
    """They take nothing from the picture's graphs, so that BF16 there excuses no error of theirs."""
    bundle, backend = Bundle(text_bundle), BACKENDS["onnxruntime"]
    opened = open_on(bundle, backend, "cpu", SessionOptions())
    graphs, examples = bundle.graphs("onnxruntime"), load_examples(bundle)
    texts = {name: backend.open(bundle.path / graphs[name].path, SessionOptions()) for name in TEXT_GRAPHS}

    class Other:
        """A graph that says that it computes in another arithmetic, or whose results have an error."""

        def __init__(self, session: Session, precision: str = "float32", error: float = 0.0) -> None:
            self._session, self._precision, self._error = session, precision, error

        def facts(self) -> SessionFacts:
            return replace(self._session.facts(), precision=self._precision)

        def run(self, inputs: Any) -> Any:
            return {name: made + self._error * made.std() for name, made in self._session.run(inputs).items()}

    picture: dict[str, Any] = {name: Other(one, "bfloat16", 0.05) for name, one in opened.sessions.items()}
    assert replay_on(opened.candidate, bundle, examples, picture | texts).usable
    for name in TEXT_GRAPHS:
        wrong = {**picture, **texts, name: Other(texts[name], error=0.05)}
        found = replay_on(opened.candidate, bundle, examples, wrong)
        assert found.problem.startswith(f"rejected: the graph '{name}' disagrees with PyTorch: error 5.0e-02")
        assert found.problem.endswith("limit 1e-03")


def test_a_proof_changes_what_results_depend_on(tiny_bundle: Path, proven_bundle: Path) -> None:
    assert Bundle(tiny_bundle).digest != Bundle(proven_bundle).digest


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "arithmetic: expected an object"),
        ({"onnxruntime": "bfloat16"}, "arithmetic.onnxruntime: expected an object"),
        ({"onnxruntime": {"bfloat16": {"by": "x", "emulated": False, "pictures": 1}}}, "'graphs' is missing"),
        ({"onnxruntime": {"bfloat16": {**proof(), "graphs": {"image": 1}}}}, r"graphs\.image: expected str"),
    ],
)
def test_a_damaged_proof_is_refused(tiny_bundle: Path, tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Bundle(with_proof(tiny_bundle, tmp_path, value))


def test_kinds_and_graphs_that_nobody_knows_prove_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    odd = {"onnxruntime": {"float8": proof(dict.fromkeys(GRAPH_NAMES, "float8")), "bfloat16": proof({"x": "float8"})}}
    proofs = Bundle(with_proof(tiny_bundle, tmp_path, odd)).manifest.arithmetic
    assert arithmetic.proven(proofs, "onnxruntime", "image") == ()
    assert arithmetic.proven(proofs, "openvino", "image") is None


def test_commands_say_what_was_proven(proven_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ", ".join(name for name in GRAPH_NAMES if name != "decoder")
    line = (
        f"bfloat16 proven for {names} (on openvino 2026.4 on CPU, 8 pictures): mask IoU 0.9940 (other points 0.9260), "
        "class mIoU 0.6357 → 0.6355, 1 presence decision flipped"
    )
    assert main(["info", str(proven_bundle)]) == 0
    assert f"  arithmetic: {line}" in capsys.readouterr().out
    none = ArithmeticProof(dict.fromkeys(GRAPH_NAMES, "float32"), "PyTorch", emulated=True, pictures=3, note="too far")
    assert list(arithmetic.lines({"x": {"float16": none}}, "x")) == [
        "float16 not proven (emulated by PyTorch, 3 pictures); too far"
    ]


def test_several_kinds_in_a_line() -> None:
    kinds = {"clip": "float32", "image": "bfloat16", "concept": "bfloat16", "decoder": "float32"}
    assert arithmetic.summary(kinds) == "float32, bfloat16 in image and concept"
    assert arithmetic.summary(dict.fromkeys(kinds, "float16")) == "float16"


CPU, GPU, NPU = Device("CPU", "cpu"), Device("GPU.0", "gpu"), Device("NPU", "npu")


@pytest.mark.parametrize(
    ("device", "wanted", "capabilities", "proven", "hint"),
    [
        (CPU, "default", ("BF16", "FP32"), ("bfloat16",), "bf16"),
        (CPU, "default", ("BF16", "FP16", "FP32"), ("float16",), "f16"),
        (CPU, "default", ("FP32",), ("bfloat16",), "f32"),
        (CPU, "default", ("BF16", "FP32"), (), "f32"),
        (CPU, "float32", ("BF16", "FP32"), ("bfloat16",), "f32"),
        (CPU, "reduced", ("BF16", "FP32"), (), "bf16"),
        (GPU, "default", ("FP16", "FP32"), ("bfloat16",), "f32"),
        (GPU, "default", ("FP16", "FP32"), ("float16",), "f16"),
        (GPU, "default", ("FP16", "FP32"), None, "f16"),
        (NPU, "default", ("FP16",), (), "f16"),
    ],
)
def test_a_hint_is_what_is_there_and_proven(
    device: Device, wanted: str, capabilities: tuple[str, ...], proven: tuple[str, ...] | None, hint: str
) -> None:
    assert runtime.precision_hint(wanted, device, capabilities, proven) == hint


def test_tensorrt_takes_proven_float16() -> None:
    from cgsam_edge.runtimes.providers import PROVIDERS

    settings = next(p for p in PROVIDERS if p.device == "TensorRT").settings
    for options, enabled in (
        (SessionOptions(), "0"), (SessionOptions(proven=("float16",)), "1"),
        (SessionOptions(proven=("bfloat16",)), "0"),
        (SessionOptions(precision="float32", proven=("float16",)), "0"), (SessionOptions(precision="reduced"), "1"),
    ):  # fmt: skip
        assert settings(options)["trt_fp16_enable"] == enabled
