"""The forms of graphs that OpenVINO's CPU computes in BF16 and without copies give what the originals give."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from openvino import opset13
from segment_anything.modeling.image_encoder import PatchEmbed
from torch import nn

from cgsam_edge.calibration.four_bits import FourBits
from cgsam_edge.calibration.quantise.openvino import _pack_layers
from cgsam_edge.export.config import SURGERY_LAYERS
from cgsam_edge.export.graphs import kernels
from cgsam_edge.export.graphs.attention import FusedAttention
from cgsam_edge.export.graphs.build import Graphs, build_graphs
from cgsam_edge.export.graphs.clip import ClipFeatures
from cgsam_edge.export.graphs.relative import RelativePositions
from cgsam_edge.export.graphs.upscaling import Upscaling
from cgsam_edge.export.graphs.variants import PatchesInPlace, for_openvino
from cgsam_edge.export.targets import openvino as target
from cgsam_edge.export.targets.openvino_halving import halve_by_means
from cgsam_edge.export.targets.openvino_splits import divide_cut_layers
from tests import tiny
from tests.conftest import relative_error

EXACT = 1e-5


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    return build_graphs(tiny.model(tiny.config()))


def test_relative_positions_are_the_table_of_each_row() -> None:
    side, width = 5, 7
    table_h, table_w = (torch.randn(2 * side - 1, width) for _ in "hw")
    at = torch.arange(side)[:, None] - torch.arange(side) + side - 1
    q = torch.randn(3, side * side, width)
    by_row, by_column = RelativePositions(*(table[at].transpose(1, 2)[None] for table in (table_h, table_w)))(q)
    for token in range(side * side):
        row, column = divmod(token, side)
        for key in range(side):
            assert torch.allclose(by_row[:, token, key], q[:, token] @ table_h[row - key + side - 1], atol=1e-5)
            assert torch.allclose(by_column[:, token, key], q[:, token] @ table_w[column - key + side - 1], atol=1e-5)


@pytest.mark.parametrize(("block", "grid"), [(0, 8), (0, 9), (1, 8)], ids=["padded windows", "windows", "global"])
@pytest.mark.parametrize("batch", [1, 2])
def test_attention_stays_the_same(block: int, grid: int, batch: int) -> None:
    made = tiny.model(tiny.config(side=16 * grid))
    fused = FusedAttention(made.sam.image_encoder.blocks[block], made.config.sam)
    changed: Any = for_openvino(nn.Sequential(fused))
    assert (changed[0].relative is None) == (block == 0 and grid == 8)  # padded windows keep their tables
    assert fused.relative is None
    x = torch.randn(batch, grid * grid, made.config.sam.width)
    with torch.inference_mode():
        assert relative_error(changed(x), fused(x)) < EXACT


@pytest.mark.parametrize("axis", ["tokens", "channels"])
def test_both_paths_of_clip_attend_at_once(axis: Any) -> None:
    made = tiny.model(tiny.config())
    features = ClipFeatures(made.clip.visual, made.config.clip, axis)
    whole: Any = for_openvino(nn.Sequential(features))
    changed = whole[0]
    assert (features.together, changed.together) == (False, True)
    joined: list[torch.Size] = []
    for block in changed.blocks:
        block.attention.proj.register_forward_pre_hook(lambda _, given: joined.append(given[0].shape))
    pixels = torch.randn(1, 3, made.config.clip.image_size, made.config.clip.image_size)
    with torch.inference_mode():
        expected = features(pixels)
        assert relative_error(changed(pixels), expected) < EXACT
        assert sum(shape[0] == 2 for shape in joined) == SURGERY_LAYERS - 1  # of the last block one path is short
        with kernels.using():
            assert relative_error(changed(pixels), expected) < EXACT


def test_patches_in_place_are_the_embedding() -> None:
    embedding = PatchEmbed((8, 8), (8, 8), in_chans=3, embed_dim=11)
    pixels = torch.randn(2, 3, 24, 40)
    with torch.inference_mode():
        assert relative_error(PatchesInPlace(embedding.proj)(pixels), embedding(pixels)) < EXACT


def test_the_upscaling_puts_each_logit_in_its_place() -> None:
    layers: Any = tiny.model(tiny.config()).sam.mask_decoder.output_upscaling
    image, mask = torch.randn(1, 6 * 6, 32), torch.randn(1, layers[3].out_channels)
    with torch.inference_mode():
        expected = torch.einsum("c,bchw->bhw", mask[0], layers(image.transpose(1, 2).unflatten(2, (6, 6))))
        assert relative_error(Upscaling(layers)(image, mask)[:, 0], expected) < EXACT


def resizing(size: tuple[int, int], **options: Any) -> openvino.Model:
    given = opset13.parameter([1, 3, 12, 20], np.float32, name="x")
    asked = {"mode": "linear_onnx", "coordinate_transformation_mode": "half_pixel"} | options
    made = opset13.interpolate(
        given,
        opset13.constant(np.array(size)),
        shape_calculation_mode="sizes",
        axes=opset13.constant(np.array([2, 3])),
        **asked,
    )
    return openvino.Model([made], [given], "resizing")


def kinds(model: openvino.Model) -> Counter[str]:
    return Counter(op.get_type_name() for op in model.get_ops())


def test_half_a_picture_is_the_mean_of_four_pixels() -> None:
    plain, changed = resizing((6, 10)), resizing((6, 10))
    halve_by_means(changed)
    assert not kinds(changed)["Interpolate"]
    pixels = np.random.default_rng(0).random((1, 3, 12, 20), np.float32)
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    expected, got = (openvino.Core().compile_model(one, "CPU", options)(pixels)[0] for one in (plain, changed))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        resizing((4, 10)),
        resizing((24, 40)),
        resizing((6, 10), mode="nearest"),
        resizing((6, 10), coordinate_transformation_mode="align_corners"),
        resizing((6, 10), mode="linear", antialias=True),
    ],
    ids=["a third", "twice", "nearest", "corners", "antialiased"],
)
def test_other_resizes_are_left_alone(model: openvino.Model) -> None:
    halve_by_means(model)
    assert kinds(model)["Interpolate"] == 1


def test_the_graph_for_openvino_gives_the_same(graphs: Graphs) -> None:
    for graph in graphs:
        with torch.inference_mode():
            expected, got = graph.module(**graph.example()), for_openvino(graph.module)(**graph.example())
        for name, value in got.items():
            torch.testing.assert_close(value, expected[name], rtol=EXACT, atol=EXACT)


def test_products_are_in_bf16(tmp_path: Path) -> None:
    """Also those with relative positions: with a table for each row of queries, the engine keeps them in float32."""
    core = openvino.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no BF16")
    image = build_graphs(tiny.model(tiny.config(side=192))).image  # with windows that fill it
    spec = target.convert(image, tmp_path, "fp32")
    compiled = core.compile_model(str(tmp_path / spec.path), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    found = Counter(
        (info["layerType"].astype(str), info["runtimePrecision"].astype(str))
        for info in (op.get_rt_info() for op in compiled.get_runtime_model().get_ops())
    )
    products = {kind: number for kind, number in found.items() if kind[0] in ("MatMul", "FullyConnected")}
    assert products
    assert {precision for _, precision in products} == {"bf16"}


def cutting(
    axis: int = -1, *, used: bool = False, halved: bool = False, name: str = "layer", computed: bool = False
) -> openvino.Model:
    """A layer with a bias, cut into 5 and 3 of its 8 outputs, or its 8 tokens.

    ``used`` also gives them whole, ``halved`` stores weights and bias in FP16, ``computed`` computes the weights.
    """
    random = np.random.default_rng(0)
    given = opset13.parameter([1, 8, 4], np.float32, name="x")
    weights, bias = (
        opset13.convert(opset13.constant(values.astype(np.float16)), "f32") if halved else opset13.constant(values)
        for values in (random.standard_normal(s).astype(np.float32) for s in ((8, 4), (1, 1, 8)))
    )
    layer = opset13.matmul(given, opset13.relu(weights) if computed else weights, False, True)
    layer.set_friendly_name(name)
    made = opset13.add(layer, bias)
    cut = opset13.variadic_split(made, opset13.constant(axis), opset13.constant(np.array([5, 3])))
    results = [opset13.relu(out) for out in cut.outputs()] + ([made] if used else [])
    return openvino.Model(results, [given], "cutting")


@pytest.mark.parametrize("halved", [False, True])
def test_a_cut_layer_is_a_layer_for_each_part(halved: bool) -> None:
    plain, changed = cutting(halved=halved), cutting(halved=halved)
    divide_cut_layers(changed)
    assert not kinds(changed)["VariadicSplit"]
    names = {op.get_friendly_name() for op in changed.get_ops() if op.get_type_name() == "MatMul"}
    assert names == {"layer", "layer#2"}
    given = np.random.default_rng(1).standard_normal((1, 8, 4)).astype(np.float32)
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    runs = [openvino.Core().compile_model(one, "CPU", options)(given) for one in (plain, changed)]
    for number in range(2):
        np.testing.assert_allclose(runs[1][number], runs[0][number], rtol=1e-6)


@pytest.mark.parametrize(
    "model",
    [cutting(1), cutting(used=True), cutting(name="layer#2"), cutting(computed=True)],
    ids=["tokens", "also used whole", "second call", "computed weights"],
)
def test_other_cuts_are_left_alone(model: openvino.Model) -> None:
    divide_cut_layers(model)
    assert kinds(model)["VariadicSplit"] == 1


def test_each_part_of_a_cut_layer_has_its_own_four_bits() -> None:
    model = cutting()
    divide_cut_layers(model)
    values = np.random.default_rng(2).integers(-8, 8, (8, 1, 4)).astype(np.int8)
    held = FourBits(values, np.ones((8, 1), np.float16))
    _pack_layers(model, {"layer": held})
    eye = np.eye(4, dtype=np.float32)[None].repeat(2, axis=1)  # each token gives one column of the weights
    run = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    biases = [
        op.input_value(1).get_node().data
        for op in model.get_ordered_ops()
        if op.get_type_name() == "Add" and op.input_value(1).get_node().get_type_name() == "Constant"
    ]
    found = np.concatenate([run(eye)[number] for number in range(2)], axis=-1)[0, ::2]
    expected = np.maximum(held.weight.T + np.concatenate(sorted(biases, key=np.size, reverse=True), axis=-1)[0], 0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
