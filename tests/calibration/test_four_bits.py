"""Weights of four bits: how they are rounded and packed, and that both engines compute with the same ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn

from cgsam_edge.agreement import deviation
from cgsam_edge.calibration.calibrate import Calibrated
from cgsam_edge.calibration.fakequant import quantised
from cgsam_edge.calibration.four_bits import FourBits, block_of, in_four_bits
from cgsam_edge.calibration.products import Products
from cgsam_edge.calibration.quantise import onnxruntime as quantise_onnxruntime
from cgsam_edge.calibration.quantise import openvino as quantise_openvino
from cgsam_edge.calibration.quantise.small_weights import in_eight_bits
from cgsam_edge.calibration.quantiser import Quantiser
from cgsam_edge.calibration.ranges import Observer, Seen, Watched
from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs.build import Graph, build_graphs
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.targets import onnxruntime
from cgsam_edge.export.targets import openvino as openvino_target
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend
from cgsam_edge.runtimes.openvino import OpenVinoBackend
from cgsam_edge.runtimes.protocol import SessionOptions
from tests import tiny


def related(rows: int, channels: int) -> Tensor:
    """Inputs whose channels go with each other, as those of a network do."""
    generator = torch.Generator().manual_seed(0)
    few = torch.randn(rows, channels // 4, generator=generator)
    return few @ torch.randn(channels // 4, channels, generator=generator) + 0.1 * torch.randn(
        rows, channels, generator=generator
    )


def test_values_are_packed_two_in_a_byte_the_earlier_one_low() -> None:
    made = FourBits(np.array([[[1, -1, -8, 7]]], np.int8), np.array([[0.5]], np.float16))
    assert made.packed.tolist() == [[[0xF1, 0x78]]]
    assert made.weight.tolist() == [[0.5, -0.5, -4.0, 3.5]]


def test_rounding_makes_up_for_what_it_changes() -> None:
    x, weight = related(2000, 128), torch.randn(48, 128, generator=torch.Generator().manual_seed(1))
    made, alone = in_four_bits(weight, x.T @ x), in_four_bits(weight, torch.eye(128))
    errors = [(x @ (torch.from_numpy(one.weight) - weight).T).square().mean().sqrt().item() for one in (made, alone)]
    assert errors[0] < 0.5 * errors[1]
    assert (torch.from_numpy(alone.weight) - weight).abs().max() < 1.5 * alone.scales.max()
    assert made.values.shape == (48, 2, 64)
    assert made.values.min() >= -8
    assert made.values.max() <= 7


def test_what_is_observed_in_bf16_is_summed_up_in_float32() -> None:
    layer, x = Seen(96, products=Products(96)), related(400, 96)
    with torch.autocast("cpu", torch.bfloat16):
        layer.add(x)
    assert layer.products is not None
    torch.testing.assert_close(layer.products.matrix, x.T @ x)


def test_products_of_too_few_inputs_are_damped_until_they_can_be_inverted() -> None:
    x, weight = related(3, 128), torch.randn(8, 128, generator=torch.Generator().manual_seed(1))
    spoilt = x.T @ x - 0.3 * torch.eye(128)
    assert torch.linalg.eigvalsh(spoilt).min() < 0
    assert np.abs(in_four_bits(weight, spoilt).weight - weight.numpy()).max() < 2


@pytest.mark.parametrize(
    "spoilt", [-1e6 * torch.eye(128) - 1, torch.full((128, 128), torch.nan)], ids=["below 0", "NaN"]
)
def test_products_that_no_damping_mends_name_graph_and_layer(spoilt: Tensor, tmp_path: Path) -> None:
    graph = build_graphs(tiny.model(tiny.config())).concept
    name = next(name for name, layer in quantisable(graph).items() if block_of(layer.in_features) is not None)
    side = quantisable(graph)[name].in_features
    products = Products(side)
    products._sum = spoilt[:side, :side]
    calibrated = Calibrated({}, "", 0, {}, cast("Any", None), (), products={(graph.name, name): products})
    quantiser = Quantiser(cast("Any", None), cast("Any", None), calibrated, "linear", tmp_path)
    others = frozenset(quantisable(graph)) - {name}
    with pytest.raises(
        ExportError, match=rf"{re.escape(name)}' of the graph 'concept' cannot be rounded.*concept=int8"
    ):
        quantiser._weights(graph, others)


def test_inputs_that_were_always_zero_and_empty_rows_are_rounded_too() -> None:
    weight = torch.zeros(2, 32)
    weight[1] = torch.linspace(-1, 1, 32)
    made = in_four_bits(weight, torch.zeros(32, 32))
    assert not made.weight[0].any()
    assert np.abs(made.weight[1] - weight[1].numpy()).max() < 0.13


@pytest.mark.parametrize(("inputs", "expected"), [(768, 64), (3072, 64), (96, 32), (48, 16), (24, None), (7, None)])
def test_blocks_divide_the_inputs(inputs: int, expected: int | None) -> None:
    assert block_of(inputs) == expected


def test_constants_in_eight_bits_have_a_scale_for_each_row() -> None:
    values = np.array([[[1.0, -127.0], [0.5, 0.25]]], np.float32)
    rounded, scale = in_eight_bits(values)
    assert scale.shape == (1, 2, 1)
    assert np.abs(rounded * scale - values).max() <= 0.5
    assert np.abs(rounded * scale - values)[0, 1].max() <= 0.5 / 254


@pytest.fixture(scope="module")
def graph() -> Graph:
    return build_graphs(tiny.model(tiny.config())).concept


@pytest.fixture(scope="module")
def weights(graph: Graph) -> dict[str, FourBits]:
    observer = Observer([graph], watched=Watched(products=True))
    with observer.watching():
        graph.run(graph.example())
    layers = quantisable(graph)
    seen = {name: observer.seen["concept", name].products for name in layers}
    return {
        name: in_four_bits(layer.weight, products.matrix)
        for name, layer in layers.items()
        if block_of(layer.in_features) and (products := seen[name]) is not None
    }


@pytest.fixture(scope="module")
def expected(graph: Graph, weights: dict[str, FourBits]) -> np.ndarray:
    """What PyTorch computes with these weights."""
    layers = quantisable(graph)
    before = {name: layers[name].weight for name in weights}
    for name, made in weights.items():
        layers[name].weight = nn.Parameter(torch.from_numpy(made.weight), requires_grad=False)
    out = graph.run(graph.example())["image_embedding"].numpy()
    for name, weight in before.items():
        layers[name].weight = weight
    return out


def test_onnx_runtime_computes_with_them(
    graph: Graph, weights: dict[str, FourBits], expected: np.ndarray, tmp_path: Path
) -> None:
    spec = onnxruntime.convert(graph, tmp_path, "fp32")
    spec = quantise_onnxruntime.quantise(graph, tmp_path, spec, ranges={}, four_bits=weights)
    assert spec.precision == "int4"
    held = onnx.load(str(tmp_path / spec.path)).graph
    assert {node.name.partition("#")[0] for node in held.node if node.op_type == "MatMulNBits"} == set(weights)
    assert not [t.name for t in held.initializer if t.data_type == TensorProto.FLOAT and np.prod(t.dims) >= 1024]
    near(graph, OnnxRuntimeBackend(), tmp_path / spec.path, expected)


def test_openvino_computes_with_them(
    graph: Graph, weights: dict[str, FourBits], expected: np.ndarray, tmp_path: Path
) -> None:
    spec = openvino_target.convert(graph, tmp_path, "fp32")
    spec = quantise_openvino.quantise(graph, tmp_path, spec, feeds=lambda: iter(()), ranges={}, four_bits=weights)
    assert spec.precision == "int4"
    held = openvino.Core().read_model(str(tmp_path / spec.path)).get_ordered_ops()
    small = [op for op in held if op.get_type_name() == "Constant" and op.get_element_type().get_type_name() == "i4"]
    assert sum(np.prod(op.shape) for op in small) == sum(one.values.size for one in weights.values())  # some in parts
    near(graph, OpenVinoBackend(), tmp_path / spec.path, expected)


def near(graph: Graph, backend: OnnxRuntimeBackend | OpenVinoBackend, path: Path, expected: np.ndarray) -> None:
    """The engine rounds inputs of products to eight bits as it runs, and other constants are in eight bits."""
    session = backend.open(path, SessionOptions(1, "CPU"))
    made = session.run({name: value.numpy() for name, value in graph.example().items()})["image_embedding"]
    session.close()
    exact = graph.run(graph.example())["image_embedding"].numpy()
    assert deviation(expected, made).rms < 0.01
    assert deviation(exact, made).rms > 0.02


def test_a_layer_that_is_tried_takes_the_rounded_weight_for_a_while(graph: Graph, weights: dict[str, FourBits]) -> None:
    name, made = next(iter(weights.items()))
    layer, before = quantisable(graph)[name], quantisable(graph)[name].weight
    with quantised([graph], {}, [("concept", name)], {("concept", name): torch.from_numpy(made.weight)}):
        assert np.array_equal(layer.weight.numpy(), made.weight)
        assert not layer._forward_pre_hooks
    assert layer.weight is before
