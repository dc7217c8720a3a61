"""Models of the real layout that are small enough for every test: 128 pixels, four blocks, a CLIP of seven."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cgsam_edge.export.config import SURGERY_LAYERS, BlockConfig, ClipConfig, ModelConfig, PromptConfig, SamConfig
from cgsam_edge.export.reference import ReferenceModel

CLIP = ClipConfig(
    embed_dim=48,
    image_size=64,
    patch_size=16,
    width=64,
    layers=7,
    mlp_width=128,
    text_width=64,
    text_layers=1,
    context_length=77,
    vocab_size=49408,
)

OPENAI_CLIP: Any = {"clip_activation": "quickgelu", "clip_heads": (1, 1)}
"""What the tiny CLIP is, whose shapes are nobody's."""


def blocks(kinds: str, *, space: bool = True) -> tuple[BlockConfig, ...]:
    """Return a block a letter: s semantic, t text, v vision, p plain adapter, n none; odd ones are global."""
    made = []
    for i, kind in enumerate(kinds):
        adapted = kind != "n"
        made.append(
            BlockConfig(
                window=0 if i % 2 else 3,
                space_adapter=space and adapted,
                mlp_adapter=adapted,
                text=kind in "st",
                vision=kind in "sv",
            )
        )
    return tuple(made)


def config(
    kinds: str = "psss", *, space: bool = True, prompt: PromptConfig | None = None, side: int = 128
) -> ModelConfig:
    """Return a tiny model's config; CLIP runs at half of ``side``."""
    adapted = any(kind != "n" for kind in kinds)
    sam = SamConfig(
        image_size=side,
        patch_size=16,
        width=32,
        heads=2,
        mlp_width=64,
        space_adapter_width=8 if space and adapted else 0,
        mlp_adapter_width=8 if adapted else 0,
        prompt_width=32,
        blocks=blocks(kinds, space=space),
        mask_channels=16,
        decoder_mlp_width=64,
        iou_width=32,
    )
    return ModelConfig(sam, replace(CLIP, image_size=side // 2), prompt or PromptConfig(trained_for=("text",)))


def model(settings: ModelConfig, seed: int = 0) -> ReferenceModel:
    """Return a seeded model whose weights are at a scale that keeps all parts in play."""
    torch.manual_seed(seed)
    made = ReferenceModel(settings).eval().requires_grad_(requires_grad=False)
    for name, parameter in made.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            parameter.normal_(std=0.3)
        elif "projection" in name and "Adapter" in name:
            parameter.normal_()
        elif name.endswith("bias"):
            parameter.normal_(std=0.1)
    return made


def upstream_parts(made: ReferenceModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ``model_state_dict`` and ``clip_model`` as upstream saves them."""
    first = made.config.clip.layers - SURGERY_LAYERS
    clip = {}
    for key, value in made.clip.state_dict().items():
        found = re.match(r"visual\.transformer\.resblocks\.(\d+)\.attn\.", key)
        name = key
        if found and int(found.group(1)) >= first:
            name = name.replace("in_proj_weight", "qkv.weight").replace("in_proj_bias", "qkv.bias")
            name = name.replace("out_proj", "proj")
        clip[name] = value
    for part in ("qkv.weight", "qkv.bias", "proj.weight", "proj.bias"):
        clip[f"visual.attn.{part}"] = clip[f"visual.transformer.resblocks.{first}.attn.{part}"]
    return dict(made.sam.state_dict()), clip


def save(made: ReferenceModel, path: Path) -> Path:
    """Write a checkpoint in upstream's layout."""
    sam, clip = upstream_parts(made)
    torch.save({"epoch": 3, "model_state_dict": sam, "clip_model": clip, "best_IoU": 0.5}, path)
    return path


def without_semantics(settings: ModelConfig) -> ModelConfig:
    """Return the same model as a public SAM would be: no adapter anywhere."""
    plain = tuple(BlockConfig(window=b.window) for b in settings.sam.blocks)
    return replace(settings, sam=replace(settings.sam, blocks=plain, space_adapter_width=0, mlp_adapter_width=0))


Parts = tuple[dict[str, Any], dict[str, Any]]


def write(path: Path, sam: dict[str, Any], clip: dict[str, Any] | None, **more: Any) -> Path:
    """Write two parts, spoilt or not, as a checkpoint."""
    torch.save({"model_state_dict": sam, "clip_model": clip, **more}, path)
    return path
