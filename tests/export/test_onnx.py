"""What is written for ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from cgsam_edge._version import __version__
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs.build import Graph, Graphs, build_graphs
from cgsam_edge.export.targets import onnxruntime as target
from cgsam_edge.export.targets.onnx_file import OnnxModel
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend
from cgsam_edge.runtimes.protocol import SessionOptions
from tests import tiny
from tests.conftest import relative_error
from tests.conversions import whole


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    return build_graphs(tiny.model(tiny.config()))


def test_files_are_valid_static_and_free_of_the_machine(tiny_bundle: Path) -> None:
    bundle = Bundle(tiny_bundle)
    for name, spec in bundle.graphs("onnxruntime").items():
        model = onnx.load(tiny_bundle / spec.path)
        onnx.checker.check_model(model, full_check=True)
        assert {o.domain: o.version for o in model.opset_import} == {"": target.OPSET}, name
        shapes = [d for v in (*model.graph.input, *model.graph.output) for d in v.type.tensor_type.shape.dim]
        assert all(d.dim_value > 0 and not d.dim_param for d in shapes), name
        assert [i.name for i in model.graph.input] == [t.name for t in spec.inputs]
        content = (tiny_bundle / spec.path).read_bytes()
        assert b"site-packages" not in content
        assert str(Path.cwd()).encode() not in content


def test_fp16_halves_the_weights_and_keeps_the_borders(graphs: Graphs, tmp_path: Path) -> None:
    sizes = {}
    for precision in ("fp32", "fp16"):
        spec = target.convert(graphs.image, tmp_path, precision)
        model = onnx.load(tmp_path / spec.path)
        sizes[precision] = (tmp_path / spec.path).stat().st_size
        assert {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)} == {TensorProto.FLOAT}
    assert sizes["fp16"] < 0.65 * sizes["fp32"]
    session = OnnxRuntimeBackend().open(tmp_path / spec.path, SessionOptions())
    inputs = {name: value * 60 + 127 for name, value in graphs.image.example().items()}
    expected = graphs.image.run(inputs)
    for name, got in session.run({k: v.numpy() for k, v in inputs.items()}).items():
        assert 1e-6 < relative_error(got, expected[name]) < 0.05, name


@pytest.mark.slow
def test_weights_too_large_for_fp16_stay(tmp_path: Path) -> None:
    made = tiny.model(tiny.config())
    made.sam.image_encoder.blocks[0].mlp.lin1.weight[0, 0] = 1e6
    spec = target.convert(build_graphs(made).image, tmp_path, "fp16")
    tensors = onnx.load(tmp_path / spec.path).graph.initializer
    assert all(np.isfinite(onnx.numpy_helper.to_array(t)).all() for t in tensors)


def test_large_graphs_go_to_external_data(graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "EXTERNAL_BYTES", 10_000)
    spec = target.convert(graphs.decoder, tmp_path, "fp32")
    files = {p.name for p in (tmp_path / "onnxruntime").iterdir()}
    assert files == {"decoder.onnx", "decoder.onnx.data"}
    session = OnnxRuntimeBackend().open(tmp_path / spec.path, SessionOptions())
    inputs = graphs.decoder.example()
    got = session.run({k: v.numpy() for k, v in inputs.items()})
    assert relative_error(got["mask_logits"], graphs.decoder.run(inputs)["mask_logits"]) < 1e-4


@pytest.mark.parametrize(
    ("width", "size", "message"),
    [(64, 64 * 64 * 4, None), (32, 64 * 64 * 4, "ShapeInference"), (64, 1000, "raw_data|elements|size")],
    ids=["sound", "a product that does not fit", "a weight cut short"],
)
def test_what_is_written_is_checked_without_a_copy_of_the_weights(
    width: int, size: int, message: str | None, tmp_path: Path
) -> None:
    """A weight so large that the checker sees it as an input."""
    value = onnx.helper.make_tensor_value_info
    weight = TensorProto(name="w", dims=[64, 64], data_type=TensorProto.FLOAT, raw_data=bytes(size))
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])]
    ends = value("x", TensorProto.FLOAT, [1, width]), value("y", TensorProto.FLOAT, [1, 64])
    graph = onnx.helper.make_graph(nodes, "g", [ends[0]], [ends[1]], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    if message is None:
        target.save(OnnxModel(model), tmp_path / "g.onnx")
        assert onnx.load(tmp_path / "g.onnx") == model
    else:
        with pytest.raises(ExportError, match=message):
            target.save(OnnxModel(model), tmp_path / "g.onnx")


@pytest.mark.slow
@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("name", ["clip", "concept", "decoder"])
def test_a_constant_at_a_time_gives_the_bytes_of_protobuf(name: str, graphs: Graphs, tmp_path: Path) -> None:
    graph = getattr(graphs, name)
    lent = target._to_onnx(graph)
    assert lent.arrays
    expected = whole(lent)
    expected.producer_name, expected.producer_version = "cgsam-edge", __version__
    spec = target.convert(graph, tmp_path, "fp32")
    assert (tmp_path / spec.path).read_bytes() == expected.SerializeToString()
    halved = target._widen(OnnxModel(expected))
    for tensor in [one for one in expected.graph.initializer if one.name in halved]:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, f"{tensor.name}.fp16"))
    spec = target.convert(graph, tmp_path, "fp16")
    assert (tmp_path / spec.path).read_bytes() == expected.SerializeToString()


class Twice(torch.nn.Module):
    """A layer that runs twice, whose weight the exporter leaves to be transposed by the engine."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.layer(self.layer(x).relu())}


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("width", [8, 40])
def test_a_layer_that_runs_twice(width: int, precision: str, tmp_path: Path) -> None:
    """Small weights are within the checked graph, large ones are lent."""
    graph = Graph("twice", Twice(width).eval().requires_grad_(False), {"x": (1, 4, width)}, ("y",))
    spec = target.convert(graph, tmp_path, precision)
    assert "Transpose" not in {node.op_type for node in onnx.load(tmp_path / spec.path).graph.node}
    given = graph.example()
    got = OnnxRuntimeBackend().open(tmp_path / spec.path, SessionOptions()).run({"x": given["x"].numpy()})
    assert relative_error(got["y"], graph.run(given)["y"]) < (1e-5 if precision == "fp32" else 1e-2)
