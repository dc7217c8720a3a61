"""Seeded checkpoints of the paper's sizes: their layout is upstream's, and the export reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.large import config, shapes, write
from cgsam_edge.export.layout import Shapes, infer_clip, infer_sam
from cgsam_edge.export.loading import load_reference
from tests import tiny
from tests.conftest import GOLDEN
from tests.golden.make_checkpoint import draw


def test_vit_b_has_the_names_and_shapes_of_a_checkpoint_of_upstream() -> None:
    """Recorded from upstream's own training code."""
    recorded = json.loads((GOLDEN / "keys_vit_b.json").read_text())
    made = {part: {k: list(s) for k, s in held.items()} for part, held in shapes(config("vit_b")).items()}
    assert made == recorded


@pytest.mark.parametrize(
    ("name", "sam", "clip"),
    [("vit_l", (24, 1024, 16, (5, 11, 17, 23)), (24, 1024, 768, 36)),
     ("vit_h", (32, 1280, 16, (7, 15, 23, 31)), (24, 1024, 768, 36))],
)  # fmt: skip
def test_larger_ones_have_the_sizes_of_the_public_models(name: str, sam: object, clip: object) -> None:
    parts = {
        part: {k: torch.empty(s, device="meta") for k, s in held.items()} for part, held in shapes(config(name)).items()
    }
    found = infer_sam(Shapes(Path(name), parts["model_state_dict"]))
    everywhere = tuple(i for i, block in enumerate(found.blocks) if not block.window)
    assert (len(found.blocks), found.width, found.heads, everywhere) == sam
    assert found == config(name).sam
    seen = infer_clip(Shapes(Path(name), parts["clip_model"]))
    assert (seen.layers, seen.width, seen.embed_dim, seen.grid) == clip
    assert seen == config(name).clip
    weights = sum(tensor.numel() for held in parts.values() for tensor in held.values())
    assert {"vit_l": 0.7e9, "vit_h": 1.0e9}[name] < weights < {"vit_l": 0.9e9, "vit_h": 1.3e9}[name]


def test_the_file_is_read_and_holds_the_seeded_weights(tmp_path: Path) -> None:
    settings = tiny.config("psss")
    settings = replace(settings, clip=replace(settings.clip, vocab_size=49408))
    write(settings, tmp_path / "a.safetensors", seed=3)
    model = load_reference(tmp_path / "a.safetensors", clip_activation="quickgelu", clip_heads=(1, 1))
    assert model.config.sam == settings.sam
    state = model.sam.state_dict()
    for name in ("image_encoder.pos_embed", "mask_decoder.iou_token.weight"):
        assert torch.equal(state[name], torch.from_numpy(draw(name, tuple(state[name].shape), 3)))
