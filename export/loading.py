"""From files to a reference model with weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from cgsam_edge.errors import CheckpointError
from cgsam_edge.export import clip_form
from cgsam_edge.export.checkpoint import Checkpoint, PublicClip, read_checkpoint, read_clip
from cgsam_edge.export.config import SURGERY_LAYERS, Activation, ClipConfig, ModelConfig, PromptConfig, PromptKind
from cgsam_edge.export.layout import Shapes, infer_clip, infer_sam, unsupported_variant
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.resize import interpolate_patches
from cgsam_edge.export.state_names import StateDict


def load_reference(
    path: Path,
    *,
    clip: Path | None = None,
    clip_image_size: int | None = None,
    clip_activation: Activation | None = None,
    clip_heads: tuple[int, ...] | None = None,
    prompt: PromptConfig | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> ReferenceModel:
    """Read a checkpoint and return the reference model, float32, in evaluation mode.

    Args:
        path: a CLIP-Guided SAM or plain SAM checkpoint.
        clip: public CLIP weights, for a checkpoint that holds none.
        clip_image_size: side in pixels at which public CLIP weights run; by default half of SAM's, cut to whole
            patches (512 for B/16, 504 for L/14 beside a SAM at 1024), to which the positions are interpolated.
        clip_activation: activation of CLIP's MLPs; None determines it, see `clip_form`.
        clip_heads: heads of CLIP's vision tower, or of vision and text; None determines them.
        prompt: settings that the file does not record.
        progress: receives lines about ignored tensors, and about CLIP.

    Raises:
        CheckpointError: a file cannot be read, a tensor is missing, superfluous, misshapen or not finite, or the kind
            of CLIP cannot be determined.
    """
    checkpoint = read_checkpoint(path)
    for note in checkpoint.notes:
        progress(f"{path}: {note}")
    sam = infer_sam(Shapes(path, checkpoint.sam))
    public = _public_clip(checkpoint, clip)
    clip_path, clip_state = (path, checkpoint.clip or {}) if public is None else (public.path, public.state)
    for note in public.notes if public else ():
        progress(f"{clip_path}: {note}")
    sizes = infer_clip(Shapes(clip_path, clip_state))
    given = clip_form.from_options(clip_path, sizes, clip_activation, clip_heads)
    if public is None:
        sizes = clip_form.of_checkpoint(clip_path, sizes, given, progress)
    else:
        sizes = clip_form.of_public(clip_path, sizes, given, openai=public.openai, progress=progress)
        sizes, clip_state = _at_size(clip_path, sizes, clip_state, clip_image_size or sam.image_size // 2)
    prompt = prompt or PromptConfig()
    if prompt.trained_for is None:
        prompt = replace(prompt, trained_for=_trained_for(checkpoint))
    return _with_weights(ModelConfig(sam, sizes, prompt), checkpoint, clip_path, clip_state)


def _with_weights(config: ModelConfig, checkpoint: Checkpoint, clip_path: Path, clip: StateDict) -> ReferenceModel:
    if config.clip.layers <= SURGERY_LAYERS:
        raise CheckpointError(
            f"{clip_path}: CLIP has {config.clip.layers} vision blocks; CLIP-Surgery needs 7 or more."
        )
    try:
        with torch.device("meta"):
            model = ReferenceModel(config)
    except (AssertionError, ArithmeticError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{checkpoint.path}: the sizes of its tensors contradict each other ({error})."
        ) from error
    _assign(model.sam, checkpoint.path, checkpoint.sam)
    _assign(model.clip, clip_path, clip)
    length = config.clip.context_length
    model.clip.attn_mask = torch.full((length, length), -math.inf).triu(1)  # not contained in checkpoints
    return model.eval().requires_grad_(requires_grad=False)


def _trained_for(checkpoint: Checkpoint) -> tuple[PromptKind, ...]:
    """Return the entry ``trained_for`` of a safetensors file, such as "text,clicks"; the default is text."""
    said = checkpoint.metadata.get("trained_for", "").replace('"', "").split(",")
    kinds: tuple[PromptKind, ...] = ("text", "clicks")
    return tuple(kind for kind in kinds if kind in [s.strip() for s in said]) or ("text",)


def _public_clip(checkpoint: Checkpoint, clip: Path | None) -> PublicClip | None:
    """Return public CLIP weights if the checkpoint contains no CLIP; None if it does."""
    if checkpoint.clip is not None:
        if clip is not None:
            raise CheckpointError(
                f"{checkpoint.path}: contains the CLIP that it was trained with; public weights ({clip}) would give "
                "wrong masks. Leave --clip out."
            )
        return None
    if clip is None:
        raise CheckpointError(
            f"{checkpoint.path}: contains no CLIP (CLIP was frozen in training). Pass the public CLIP weights that "
            "training used with --clip: an open_clip state dict, or OpenAI's archive such as ViT-B-16.pt."
        )
    return read_clip(clip)


def _at_size(path: Path, sizes: ClipConfig, state: StateDict, size: int) -> tuple[ClipConfig, StateDict]:
    """Interpolate CLIP's position table, as upstream does, to an input of ``size`` pixels."""
    grid = size // sizes.patch_size
    if grid < 1:
        raise CheckpointError(f"{path}: a CLIP input of {size} pixels is smaller than its patch of {sizes.patch_size}.")
    name = "visual.positional_embedding"
    return replace(sizes, image_size=grid * sizes.patch_size), {**state, name: interpolate_patches(state[name], grid)}


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
    odd = next((k for k in expected if not state[k].is_floating_point()), None)
    if odd:
        raise CheckpointError(
            f"{path}: {odd!r} contains {state[odd].dtype} instead of floating-point numbers: quantised weights?"
        )
    values = {k: state[k].to(torch.float32) for k in expected}
    broken = next((k for k, v in values.items() if not bool(torch.isfinite(v).all())), None)
    if broken:
        raise CheckpointError(f"{path}: {broken!r} holds NaN or infinity; the training run that wrote it diverged.")
    module.load_state_dict(values, assign=True)
