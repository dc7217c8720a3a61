"""From files to a reference model with weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from cgsam_edge.errors import CheckpointError
from cgsam_edge.export.checkpoint import Checkpoint, StateDict, read_checkpoint, read_clip
from cgsam_edge.export.config import SURGERY_LAYERS, ModelConfig, PromptConfig, PromptKind
from cgsam_edge.export.layout import Shapes, infer_clip, infer_sam, unsupported_variant
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.resize import interpolate_patches


def load_reference(
    path: Path, *, clip: Path | None = None, clip_image_size: int | None = None, prompt: PromptConfig | None = None
) -> ReferenceModel:
    """Read a checkpoint and return the reference model, float32, in evaluation mode.

    Args:
        path: a CLIP-Guided SAM or plain SAM checkpoint.
        clip: public CLIP weights, for a checkpoint that holds none.
        clip_image_size: side in pixels at which public CLIP weights run; by default half of SAM's, cut to whole
            patches (512 for B/16, 504 for L/14 beside a SAM at 1024), to which the positions are interpolated.
        prompt: what the file cannot say.

    Raises:
        CheckpointError: a file cannot be read, a tensor is missing, superfluous, misshapen or not finite.
    """
    checkpoint = read_checkpoint(path)
    sam = infer_sam(Shapes(path, checkpoint.sam))
    clip_path, clip_state = _clip_state(checkpoint, clip)
    if clip is not None:
        clip_state = _at_size(clip_path, clip_state, clip_image_size or sam.image_size // 2)
    prompt = prompt or PromptConfig()
    if prompt.trained_for is None:
        prompt = replace(prompt, trained_for=_trained_for(checkpoint))
    config = ModelConfig(sam, infer_clip(Shapes(clip_path, clip_state)), prompt)
    if config.clip.layers <= SURGERY_LAYERS:
        raise CheckpointError(
            f"{clip_path}: CLIP has {config.clip.layers} vision blocks; CLIP-Surgery needs 7 or more."
        )
    with torch.device("meta"):
        model = ReferenceModel(config)
    _assign(model.sam, path, checkpoint.sam)
    _assign(model.clip, clip_path, clip_state)
    length = config.clip.context_length
    model.clip.attn_mask = torch.full((length, length), -math.inf).triu(1)  # not in any checkpoint
    return model.eval().requires_grad_(requires_grad=False)


def _trained_for(checkpoint: Checkpoint) -> tuple[PromptKind, ...]:
    """Return what a safetensors file says of its training, as ``trained_for`` "text,clicks"; upstream's is text."""
    said = checkpoint.metadata.get("trained_for", "").replace('"', "").split(",")
    kinds: tuple[PromptKind, ...] = ("text", "clicks")
    return tuple(kind for kind in kinds if kind in [s.strip() for s in said]) or ("text",)


def _clip_state(checkpoint: Checkpoint, clip: Path | None) -> tuple[Path, StateDict]:
    if checkpoint.clip is not None:
        if clip is not None:
            raise CheckpointError(
                f"{checkpoint.path}: holds the CLIP that it was trained with; public weights ({clip}) would give wrong "
                "masks. Leave --clip out."
            )
        return checkpoint.path, checkpoint.clip
    if clip is None:
        raise CheckpointError(
            f"{checkpoint.path}: holds no CLIP (it was not trained along). Give the public CLIP weights that training "
            "started from with --clip: an open_clip state dict, or OpenAI's archive such as ViT-B-16.pt."
        )
    return clip, read_clip(clip)


def _at_size(path: Path, state: StateDict, size: int) -> StateDict:
    """Interpolate CLIP's position table, as upstream does, to an input of ``size`` pixels."""
    clip = infer_clip(Shapes(path, state))
    grid = size // clip.patch_size
    if grid < 1:
        raise CheckpointError(f"{path}: a CLIP input of {size} pixels is smaller than its patch of {clip.patch_size}.")
    name = "visual.positional_embedding"
    return {**state, name: interpolate_patches(state[name], grid)}


def _assign(module: nn.Module, path: Path, state: Mapping[str, Tensor]) -> None:
    expected = module.state_dict()
    for key, tensor in expected.items():
        if key not in state:
            raise CheckpointError(f"{path}: lacks the tensor {key!r}, expected with shape {tuple(tensor.shape)}.")
        if tuple(state[key].shape) != tuple(tensor.shape):
            raise CheckpointError(
                f"{path}: {key!r} has the wrong shape: expected {tuple(tensor.shape)}, got {tuple(state[key].shape)}."
            )
    extra = sorted(set(state) - set(expected))
    if extra:
        variant = unsupported_variant(extra)
        what = f"{variant}, which is not supported" if variant else "tensors of an unknown variant"
        raise CheckpointError(f"{path}: holds {what}: {', '.join(map(repr, extra[:3]))} ({len(extra)} in all).")
    values = {k: state[k].to(torch.float32) for k in expected}
    broken = next((k for k, v in values.items() if not bool(torch.isfinite(v).all())), None)
    if broken:
        raise CheckpointError(f"{path}: {broken!r} holds NaN or infinity; the training run that wrote it diverged.")
    module.load_state_dict(values, assign=True)
