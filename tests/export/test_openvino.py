"""What is written for OpenVINO, and how its runtime computes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openvino import Core as OpenVino

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError
from cgsam_edge.export.graphs.build import Graph, Graphs, build_graphs
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.targets import onnxruntime, openvino
from cgsam_edge.runtimes import openvino as runtime
from cgsam_edge.runtimes.protocol import Device, SessionOptions
from tests import tiny
from tests.conftest import relative_error, slow

BACKEND = runtime.OpenVinoBackend()


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    return build_graphs(tiny.model(tiny.config()))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "openvino").iterdir())}


def errors(path: Path, graph: Graph) -> dict[str, float]:
    """Run a file on seeded inputs and compare its outputs with PyTorch's."""
    session = BACKEND.open(path, SessionOptions(threads=1))
    scale = {"pixels": (60, 127)}
    given = {n: v * scale.get(n, (1, 0))[0] + scale.get(n, (1, 0))[1] for n, v in graph.example().items()}
    expected = graph.run(given)
    got = session.run({name: value.numpy() for name, value in given.items()})
    assert list(got) == list(expected)
    return {name: relative_error(got[name], expected[name]) for name in got if name != "iou"}  # one value, no spread


@pytest.mark.slow
def test_the_same_export_writes_the_same_bytes(graphs: Graphs, anew: None, tmp_path: Path) -> None:
    """Whether it made the ONNX itself or found it, and whatever was converted before in the process."""
    (tmp_path / "a").mkdir()
    spec = openvino.convert(graphs.decoder, tmp_path / "a", "fp32")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"openvino"}
    onnxruntime.convert(graphs.decoder, tmp_path, "fp32")
    assert openvino.convert(graphs.decoder, tmp_path, "fp32") == spec
    assert content(tmp_path) == content(tmp_path / "a")
    text = content(tmp_path)["decoder.xml"].decode()
    assert str(tmp_path) not in text
    assert str(Path.cwd()) not in text


@pytest.mark.parametrize("precision", ["fp32", slow("fp16")])
def test_specs_are_those_of_onnx_runtime(precision: str, all_bundles: dict[str, Path]) -> None:
    bundle = Bundle(all_bundles[precision])
    for name, spec in bundle.graphs("openvino").items():
        other = bundle.graphs("onnxruntime")[name]
        assert (spec.inputs, spec.outputs, spec.precision) == (other.inputs, other.outputs, other.precision)
        assert bundle.files_of(spec.path) == [f"openvino/{name}.bin", f"openvino/{name}.xml"]


def test_an_export_ends_its_sums_in_products(all_bundles: dict[str, Path]) -> None:
    """SAM's tokens are a sum of blocks; no output of the decoder is one."""
    assert [ends_in_identity(all_bundles["fp32"], graph) for graph in ("image", "decoder")] == [["tokens"], []]


def ends_in_identity(bundle: Path, graph: str) -> list[str]:
    """Return the outputs of a graph that are Reshape(MatMul(x, identity))."""
    model = OpenVino().read_model(str(bundle / "openvino" / f"{graph}.xml"))
    found = []
    for result in model.get_results():
        nodes = [result.input_value(0).get_node()]
        nodes.append(nodes[0].input_value(0).get_node())
        if [node.get_type_name() for node in nodes] != ["Reshape", "MatMul"]:
            continue
        held = nodes[1].input_value(1).get_node()
        same = held.get_type_name() == "Constant" and np.array_equal(held.data, np.eye(len(held.data)))
        found += sorted(result.input_value(0).get_names()) if same else []
    return found


@pytest.mark.slow
def test_fp16_halves_the_weights_and_keeps_the_borders(graphs: Graphs, all_bundles: dict[str, Path]) -> None:
    sizes = {p: (all_bundles[p] / "openvino" / "image.bin").stat().st_size for p in ("fp32", "fp16")}
    assert sizes["fp16"] < 0.65 * sizes["fp32"]
    for precision, (least, most) in {"fp32": (0, 1e-4), "fp16": (1e-6, 0.05)}.items():
        for path in ("openvino/image.xml", "onnxruntime/image.onnx"):
            for name, error in errors(all_bundles[precision] / path, graphs.image).items():
                assert least <= error < most, (precision, path, name)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_weights_lie_as_the_engine_wants_them(graphs: Graphs, tmp_path: Path, precision: str) -> None:
    """Others are turned when the file is opened, and held twice."""
    core = OpenVino()
    turned = 0
    for graph in graphs:
        model = core.read_model(str(tmp_path / openvino.convert(graph, tmp_path, precision).path))
        for op in (one for one in model.get_ordered_ops() if one.get_type_name() == "MatMul"):
            below = op.input_value(1).get_node()
            constant = below.input_value(0).get_node() if below.get_type_name() == "Convert" else below
            if constant.get_type_name() == "Constant" and len(constant.shape) == 2:
                assert op.get_attributes()["transpose_b"], op.get_friendly_name()
                turned += 1
    assert turned > 20


def test_onnx_with_external_data(graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "EXTERNAL_BYTES", 10_000)
    spec = onnxruntime.convert(graphs.decoder, tmp_path, "fp32")
    assert (tmp_path / "onnxruntime" / "decoder.onnx.data").exists()
    assert max(errors(tmp_path / spec.path, graphs.decoder).values()) < 1e-4
    converted = openvino.convert(graphs.decoder, tmp_path, "fp32")
    assert max(errors(tmp_path / converted.path, graphs.decoder).values()) < 1e-4


def test_weights_too_large_for_fp16_stay(tmp_path: Path) -> None:
    made = tiny.model(tiny.config())
    made.sam.image_encoder.blocks[0].mlp.lin1.weight[0, 0] = 1e6
    graph = build_graphs(made).image
    spec = openvino.convert(graph, tmp_path, "fp16")
    assert all(error < 0.05 for error in errors(tmp_path / spec.path, graph).values())


def test_a_converter_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "openvino" else name)
    with pytest.raises(BackendError, match=r"target 'openvino' needs openvino: pip install 'cgsam-edge\[openvino"):
        ExportOptions(Path("c.pth"), Path("c.txt"), targets=("onnxruntime", "openvino"))


def computed_in(session: Any) -> set[str]:
    kinds = Counter(
        op.get_rt_info()["runtimePrecision"].astype(str) for op in session._compiled.get_runtime_model().get_ops()
    )
    return set(kinds)


def test_a_cpu_computes_in_float32_unless_told(all_bundles: dict[str, Path]) -> None:
    import openvino as engine

    path = Bundle(all_bundles["fp32"]).verified_graph("openvino", "image")
    for precision in ("default", "float32"):
        session = BACKEND.open(path, SessionOptions(precision=precision))
        assert not {"bf16", "f16"} & computed_in(session)
        assert session.facts().precision == "float32"
    if "BF16" not in engine.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no BF16")
    session = BACKEND.open(path, SessionOptions(precision="reduced"))
    assert "bf16" in computed_in(session)
    assert session.facts().precision == "bfloat16"


CPU, GPU, NPU, AUTO = Device("CPU", "cpu"), Device("GPU.0", "gpu"), Device("NPU", "npu"), Device("AUTO", "any")


@pytest.mark.parametrize(
    ("device", "wanted", "capabilities", "hint"),
    [
        (CPU, "default", ("BF16", "FP32"), "f32"),
        (CPU, "default", ("FP16", "FP32"), "f32"),
        (CPU, "reduced", ("FP32",), "f32"),
        (CPU, "reduced", ("FP16", "FP32"), "f16"),
        (GPU, "default", ("FP16", "FP32"), "f16"),
        (GPU, "float32", ("FP16", "FP32"), "f32"),
        (NPU, "default", ("FP16",), "f16"),
        (AUTO, "default", (), "f32"),
        (AUTO, "reduced", (), ""),
    ],
)
def test_precision_is_set_on_purpose(device: Device, wanted: str, capabilities: tuple[str, ...], hint: str) -> None:
    assert runtime.precision_hint(wanted, device, capabilities) == hint
    made = runtime.settings(SessionOptions(threads=3), device, hint)
    assert made.get("INFERENCE_PRECISION_HINT", "") == hint
    assert made.get("INFERENCE_NUM_THREADS") == (3 if device is CPU else None)


def test_an_npu_has_no_float32() -> None:
    with pytest.raises(BackendError, match="NPU computes in float16; it cannot"):
        runtime.precision_hint("float32", NPU, ("FP16",))


class RefusingCore:
    """A core whose device takes all operations but a few."""

    def __init__(self, refused: str) -> None:
        self._core, self._refused = runtime._core(), refused

    def read_model(self, path: str) -> Any:
        return self._core.read_model(path)

    def query_model(self, model: Any, _device: str) -> dict[str, str]:
        return {op.get_friendly_name(): "NPU" for op in model.get_ops() if op.get_type_name() != self._refused}

    def compile_model(self, *_arguments: Any) -> Any:
        raise RuntimeError("Exception from somewhere.cpp:1:\n[ NOT_FOUND ] cannot compile\n\n")


def test_a_refused_operation_is_named(all_bundles: dict[str, Path]) -> None:
    path = Bundle(all_bundles["fp32"]).verified_graph("openvino", "decoder")
    with pytest.raises(
        BackendError, match=r"on NPU: \[ NOT_FOUND \] cannot compile; it does not support Softmax \(\d+\)"
    ):
        runtime._compile(RefusingCore("Softmax"), path, NPU, {})


def test_dynamic_shapes_are_refused(tmp_path: Path) -> None:
    import openvino as engine

    ops = engine.opset13
    wanted = ops.parameter([-1, 3], np.float32, name="x")
    engine.serialize(engine.Model([ops.relu(wanted)], [wanted], "dynamic"), str(tmp_path / "dynamic.xml"))
    with pytest.raises(BackendError, match="has no fixed shape; NPUs need fixed ones"):
        BACKEND.open(tmp_path / "dynamic.xml", SessionOptions())
