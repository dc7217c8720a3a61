"""The files of a run: a state to resume from, and a checkpoint in upstream's layout."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cgsam_edge.export.config import SURGERY_LAYERS
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.reference import ReferenceModel


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state beside its destination, then rename: a run that is killed leaves the last complete one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    torch.save(dict(state), beside)
    os.replace(beside, path)


def load_state(path: Path) -> dict[str, Any]:
    """Read a state: tensors and plain values only."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def load_start(path: Path) -> dict[str, Any]:
    """Return the weights that another run starts from: of its state, or of the checkpoint that it wrote."""
    if path.suffix != ".safetensors":
        return load_state(path)
    flat = load_file(path)
    heads = {key.removeprefix(f"{HEADS}."): value.float() for key, value in flat.items() if key.startswith(f"{HEADS}.")}
    parts: dict[str, dict[str, Tensor]] = {"head": {}, "token_head": {}, "calibration": {}}
    for key, value in heads.items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    return {"model": load_reference(path).state_dict(), **parts}


def upstream_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return open_clip's state dict with upstream's names: CLIP-Surgery renames attention in the last six vision blocks.

    Upstream also saves a copy of the first of them as ``visual.attn.*``.
    """
    layers = 1 + max(int(key.split(".")[3]) for key in state if key.startswith("visual.transformer.resblocks."))
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        parts = key.split(".")
        name = key
        if key.startswith("visual.transformer.resblocks.") and int(parts[3]) >= layers - SURGERY_LAYERS:
            name = key.replace("attn.in_proj_", "attn.qkv.").replace("attn.out_proj.", "attn.proj.")
        out[name] = value
    first = f"visual.transformer.resblocks.{layers - SURGERY_LAYERS}.attn."
    out.update(
        {key.replace(first, "visual.attn."): value.clone() for key, value in out.items() if key.startswith(first)}
    )
    return out


HEADS = "training"
"""Prefix of what only training needs; the exporter does not read it."""


def write_checkpoint(
    path: Path, model: ReferenceModel, metadata: Mapping[str, object], heads: Mapping[str, Tensor] | None = None
) -> None:
    """Write FP16 safetensors: ``model_state_dict.<key>`` (SAM with adapters) and ``clip_model.<key>`` (CLIP).

    Args:
        path: the file; it is written beside its destination and renamed.
        model: its weights.
        metadata: the metadata of the file; each value becomes a JSON string.
        heads: weights that only training needs, to continue from the file (``training.<key>``).
    """
    parts: dict[str, Mapping[str, Tensor]] = {
        HEADS: heads or {},
        "model_state_dict": model.sam.state_dict(),
        "clip_model": upstream_clip(model.clip.state_dict()),
    }
    flat = {
        f"{part}.{key}": value.detach().to("cpu", torch.float16).contiguous().clone()
        for part, state in parts.items()
        for key, value in state.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    save_file(flat, beside, {key: json.dumps(value) for key, value in metadata.items()})
    os.replace(beside, path)
