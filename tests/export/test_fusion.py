"""Each identity of fusion by itself, and all of them together over random models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from segment_anything.modeling.image_encoder import window_partition
from torch import Tensor, nn

from cgsam_edge.export import fusion
from cgsam_edge.export.config import BlockConfig, ModelConfig, SamConfig
from cgsam_edge.export.graphs.attention import Chunk, FusedAttention, by_head, cached, together
from cgsam_edge.export.graphs.bounded import Bounded
from cgsam_edge.export.graphs.build import Graph, build_graphs
from cgsam_edge.export.graphs.clip import ClipFeatures
from cgsam_edge.export.graphs.encoder import SemanticBlock, fuse_block
from cgsam_edge.export.graphs.model import semantic_adapters
from cgsam_edge.export.graphs.variants import for_core_ml, for_openvino
from cgsam_edge.export.graphs.windows import PaddedWindows, Windows
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.reference.adapters import Adapter, SemanticAdapter, conditioning
from cgsam_edge.export.reference.clip_surgery import embed_image, normalise
from cgsam_edge.export.reference.image_encoder import Block
from cgsam_edge.export.reference.similarity import similarity
from cgsam_edge.export.targets import openvino as openvino_target
from tests import tiny
from tests.conftest import relative_error

EXACT = 1e-5
BLOCK_LIMIT = 1e-4
C, R, D = 24, 6, 16


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randn(2, 5, 5, C)


@torch.no_grad()
def test_space_adapter_folds_into_the_projection(tokens: Tensor) -> None:
    proj, adapter = nn.Linear(C, C), Adapter(C, R)
    y = proj(tokens)
    expected = y + 0.5 * (y + adapter(y))
    stacked, up = fusion.fuse_space_adapter(proj, adapter)
    main, hidden = stacked(tokens).split([C, R], dim=-1)
    assert relative_error(main + up(F.gelu(hidden)), expected) < EXACT


@torch.no_grad()
def test_plain_adapter_folds_into_the_mlp(tokens: Tensor) -> None:
    lin1, lin2, adapter = nn.Linear(C, 4 * C), nn.Linear(4 * C, C), Adapter(C, R)
    expected = lin2(F.gelu(lin1(tokens))) + 0.5 * adapter(tokens)
    wide1, wide2 = fusion.fuse_plain_adapter(lin1, lin2, adapter)
    assert wide1.out_features == 4 * C + R
    assert relative_error(wide2(F.gelu(wide1(tokens))), expected) < EXACT


@torch.no_grad()
def test_text_becomes_a_table_row(tokens: Tensor) -> None:
    adapter, text = SemanticAdapter(C, R, D, text=True, vision=False), torch.randn(1, D)
    lin2 = nn.Linear(4 * C, C)
    parts = fusion.fuse_semantic_adapter(lin2, adapter)
    hidden = parts.down(tokens) + fusion.text_row(adapter, text)
    got = parts.up(F.gelu(hidden)) + parts.lin2.bias
    assert relative_error(got, 0.5 * adapter(tokens, text) + lin2.bias) < EXACT


@torch.no_grad()
def test_vision_becomes_a_low_rank_product_and_similarity_a_rank_one_term() -> None:
    adapter = SemanticAdapter(C, R, D, text=False, vision=True)
    features, scores = torch.randn(1, 1 + 16, D), torch.randn(1, 1 + 16)
    tokens, lin2 = torch.randn(1, 8, 8, C), nn.Linear(4 * C, C)
    parts = fusion.fuse_semantic_adapter(lin2, adapter)
    assert parts.vision is not None
    low = (parts.vision @ features[0, 1:].T).reshape(1, R, 4, 4)
    low = low + scores[:, 1:].reshape(1, 1, 4, 4) * parts.vision.sum(dim=1)[None, :, None, None]
    condition = F.interpolate(low, (8, 8), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    got = parts.up(F.gelu(parts.down(tokens) + condition)) + parts.lin2.bias
    expected = 0.5 * adapter(tokens, None, conditioning(features, scores)) + lin2.bias
    assert relative_error(got, expected) < EXACT


@pytest.mark.parametrize("before_norm", [True, False])
def test_window_padding_is_a_constant_after_qkv(before_norm: bool) -> None:
    norm, qkv = nn.LayerNorm(C), nn.Linear(C, 3 * C)
    nn.init.normal_(norm.bias)
    x = torch.randn(1, 5, 5, C)
    padded = norm(window_partition(x, 4)[0]) if before_norm else window_partition(norm(x), 4)[0]
    expected = qkv(padded)[-1, -1, -1]  # the last window's last token is padding
    got = fusion.window_padding(norm, qkv, before_norm=before_norm)
    assert relative_error(got, expected.detach()) < EXACT


@pytest.mark.parametrize("before_norm", [True, False])
@pytest.mark.parametrize("window", [4, 3])  # 4 divides the grid of 8, 3 does not
def test_windows_are_the_reference_s(*, before_norm: bool, window: int) -> None:
    made = tiny.model(tiny.config())
    config = made.config.sam
    block = Block(config, replace(config.blocks[0], window=window), made.config.clip.embed_dim)
    block.pad_before_norm = before_norm
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, config.grid, config.grid, config.width)
    fused = FusedAttention(block, config)
    with torch.inference_mode():
        expected = block.attend(x).flatten(1, 2)
        assert relative_error(fused(x.flatten(1, 2)), expected) < EXACT
        assert relative_error(for_core_ml(nn.Sequential(fused))(x.flatten(1, 2)), expected) < EXACT


def test_global_attention_in_chunks_is_the_same() -> None:
    made = tiny.model(tiny.config())
    fused = FusedAttention(made.sam.image_encoder.blocks[1], made.config.sam)
    x = torch.randn(2, 8 * 8, made.config.sam.width)
    with torch.inference_mode():
        whole = fused(x)
        for chunk in (Chunk(fused.heads, 2), Chunk(1, 8), Chunk(1, 2)):
            fused.chunk = chunk
            assert relative_error(fused(x), whole) < EXACT


def test_chunks_divide_the_rows_and_fit_the_bound() -> None:
    assert together(12, 64) == (12, 2)
    assert together(4, 32) == (4, 32)
    assert cached(64) == (1, 16)
    assert cached(32) == (1, 32)
    assert all(side % chunk.rows == 0 for side in range(4, 129, 4) for chunk in (together(12, side), cached(side)))


@pytest.fixture
def chunked() -> Graph:
    """A concept graph whose global attention goes by pieces, as a tiny one's alone would not."""
    graph = build_graphs(tiny.model(tiny.config())).concept
    for one in global_attention(graph.module):
        one.chunk = Chunk(1, 2)
    return graph


def global_attention(module: nn.Module) -> list[FusedAttention]:
    return [one for one in module.modules() if isinstance(one, FusedAttention) and one.windows is None]


def test_core_ml_takes_all_heads_at_once_and_moves_axes(chunked: Graph) -> None:
    made = Bounded(chunked)
    assert [one.chunk for one in global_attention(made)] == [(one.heads, one.side) for one in global_attention(made)]
    assert any(isinstance(one, Windows) for one in chunked.module.modules())
    assert any(isinstance(one, PaddedWindows) for one in made.modules())
    assert not any(isinstance(one, Windows) for one in made.modules())


def test_openvino_takes_a_head_at_a_time(chunked: Graph) -> None:
    made = for_openvino(chunked.module)
    assert [one.chunk for one in global_attention(made)] == [by_head(one.side) for one in global_attention(made)] != []
    assert all(one.chunk == (1, 2) for one in global_attention(chunked.module))  # the graph itself is left alone
    assert {id(one) for one in made.parameters()} == {id(one) for one in chunked.module.parameters()}
    decoder = build_graphs(tiny.model(tiny.config())).decoder.module
    assert for_openvino(decoder) is decoder


def test_openvino_keeps_a_table_once(tmp_path: Path) -> None:
    graph = build_graphs(tiny.model(tiny.config())).concept
    blocks = global_attention(graph.module)
    path = tmp_path / openvino_target.convert(graph, tmp_path, "fp32").path
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    held = [op for op in compiled.get_runtime_model().get_ops() if op.get_rt_info()["layerType"].astype(str) == "Const"]
    shapes = [tuple(op.get_output_shape(0)) for op in held]
    tables = 2 * (2 * blocks[0].side - 1), blocks[0].table_w.shape[2]  # rows and columns, whatever the heads
    assert shapes.count(tables) == len(blocks)


def test_clip_computes_only_what_reaches_the_output() -> None:
    made = tiny.model(tiny.config())
    clip = made.config.clip
    pixels = torch.randn(1, 3, clip.image_size, clip.image_size)
    with torch.inference_mode():
        for axis in ("tokens", "channels"):
            expected = normalise(embed_image(made.clip.visual, pixels), axis)
            assert relative_error(ClipFeatures(made.clip.visual, clip, axis)(pixels), expected) < EXACT


def fused_blocks_agree(made: ReferenceModel) -> None:
    """Compare every block, fed with the reference's own input, and the graphs end to end."""
    config, encoder = made.config, made.sam.image_encoder
    size, grid = config.sam.image_size, config.clip.grid
    raw = (torch.rand(1, 3, size, size) * 255).round()
    text = F.normalize(torch.randn(1, config.clip.embed_dim), dim=-1)
    graphs = build_graphs(made)
    with torch.inference_mode():
        from cgsam_edge.export.graphs import normalise_pixels

        pixels = normalise_pixels(raw)
        features = made.image_features(pixels)
        scores = similarity(features, text)
        patches = conditioning(features, scores)
        x = encoder.patch_embed(pixels) + encoder.pos_embed
        for block in encoder.blocks:
            expected = block(x, text, patches)
            fused, tokens = fuse_block(block, config.sam), x.flatten(1, 2)
            got = (
                fused(tokens, condition(block, text, features, scores, config))
                if isinstance(fused, SemanticBlock)
                else fused(tokens)
            )
            assert relative_error(got, expected.flatten(1, 2)) < BLOCK_LIMIT
            x = expected
        out = {**graphs.clip.run({"pixels": raw}), **graphs.image.run({"pixels": raw})}
        rows = [fusion.text_row(a, text) for a in semantic_adapters(made) if a.text_projection is not None]
        inputs = {**out, "similarity": scores[:, 1:].reshape(1, 1, grid, grid)}
        if rows:
            inputs["text_row"] = torch.stack(rows, dim=1)
        got = graphs.concept.run(inputs)["image_embedding"]
        assert relative_error(got, made.encode(pixels, features, text)) < BLOCK_LIMIT


def condition(block: Any, text: Tensor, features: Tensor, scores: Tensor, config: ModelConfig) -> Tensor:
    """One block's condition (1, N or 1, r), made from the identities alone."""
    adapter = block.MLP_Adapter
    assert isinstance(adapter, SemanticAdapter)
    total = torch.zeros(1, 1, adapter.D_fc1.out_features)
    if adapter.text_projection is not None:
        total = total + fusion.text_row(adapter, text)
    if adapter.vis_projection is not None:
        vision = fusion.fuse_semantic_adapter(block.mlp.lin2, adapter).vision
        assert vision is not None
        side = config.clip.grid
        low = (vision @ features[0, 1:].T + vision.sum(dim=1)[:, None] * scores[:, 1:]).reshape(1, -1, side, side)
        size = (config.sam.grid, config.sam.grid)
        total = total + F.interpolate(low, size, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)
    return total


@pytest.mark.parametrize("kinds", ["ssss", "psss", "pppt", "vvvv", "tvst", "pppp", "nnss", "nnnn", "snsp"])
def test_every_arrangement_of_adapters(kinds: str) -> None:
    fused_blocks_agree(tiny.model(tiny.config(kinds)))


def test_without_space_adapters() -> None:
    fused_blocks_agree(tiny.model(tiny.config("ppss", space=False)))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kinds=st.text("stvpn", min_size=1, max_size=4),
    heads=st.integers(1, 3),
    head_width=st.sampled_from([4, 10, 16]),
    grid=st.integers(3, 9),
    window=st.integers(2, 6),
    r=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_random_sizes(kinds: str, heads: int, head_width: int, grid: int, window: int, r: int, seed: int) -> None:
    width = heads * head_width
    adapted = any(kind != "n" for kind in kinds)
    blocks = tuple(
        BlockConfig(0 if i % 2 else min(window, grid - 1), b.space_adapter, b.mlp_adapter, b.text, b.vision)
        for i, b in enumerate(tiny.blocks(kinds))
    )
    sam = SamConfig(
        image_size=16 * grid,
        patch_size=16,
        width=width,
        heads=heads,
        mlp_width=3 * width,
        prompt_width=32,
        space_adapter_width=r * adapted,
        mlp_adapter_width=r * adapted,
        blocks=blocks,
        iou_width=32,
    )
    fused_blocks_agree(tiny.model(ModelConfig(sam, tiny.CLIP), seed))
