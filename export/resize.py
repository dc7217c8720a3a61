"""A trained model at another input size: interpolated positions, everything else shared.

Only two parts of a SAM depend on its size: the absolute positions and, in blocks with global attention, the tables of
relative positions. The former are interpolated bilinearly, as in SAMed (``load_from`` of its builder of SAM) and later
projects; the latter linearly, by segment_anything's own ``get_rel_pos``. Windows do not change, only their padding
follows the grid. CLIP's positions are interpolated bilinearly, as upstream does for training.

Upstream's features are normalised over the tokens, so their magnitude depends on the number of tokens: with a quarter
of CLIP's patches they are twice as large, which the adapters never saw in training. The norm is therefore scaled to the
number of tokens of training (`ClipConfig.norm_scale`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from segment_anything.modeling.image_encoder import get_rel_pos
from torch import Tensor

from cgsam_edge.errors import InputError
from cgsam_edge.export.config import ClipConfig, ModelConfig
from cgsam_edge.export.reference import ReferenceModel


def resize(model: ReferenceModel, size: int | None, clip_size: int | None = None) -> ReferenceModel:
    """Return a model at another image size, in float32 and evaluation mode; it shares all tensors except the positions.

    Args:
        model: a model at its training size.
        size: the new side in pixels, see `cgsam_edge.export.image_sizes`; None does not change SAM.
        clip_size: side of CLIP's input, truncated to whole patches; by default its own, but never more than ``size``:
            CLIP is the smaller part of the work, and a smaller CLIP cost the reference model more accuracy than a
            smaller SAM.

    Raises:
        InputError: the size is above the model's own, or does not fit its patches.
    """
    sam = model.config.sam
    size = sam.image_size if size is None else size
    if size > sam.image_size:
        raise InputError(
            f"an image size of {size} is above the checkpoint's own, {sam.image_size}: training never saw that many "
            f"tokens, and each costs time. Take {sam.image_size} or less."
        )
    if size % sam.patch_size:
        raise InputError(f"an image size of {size} is not a multiple of the model's patch of {sam.patch_size} pixels.")
    own = model.config.clip.image_size
    clip = resized_clip(model.config.clip, min(own, size) if clip_size is None else clip_size)
    config = replace(model.config, sam=replace(sam, image_size=size), clip=clip)
    with torch.device("meta"):
        made = ReferenceModel(config)
    made.sam.load_state_dict(_sam_state(model, config), assign=True)
    state = model.clip.state_dict()
    name = "visual.positional_embedding"
    made.clip.load_state_dict({**state, name: interpolate_patches(state[name], clip.grid)}, assign=True)
    made.clip.attn_mask = model.clip.attn_mask
    return made.eval().requires_grad_(requires_grad=False)


def resized_clip(clip: ClipConfig, size: int) -> ClipConfig:
    """Return CLIP's sizes at another side, truncated to whole patches."""
    grid = size // clip.patch_size
    if grid < 1:
        raise InputError(f"CLIP's input of {size} pixels is smaller than its patch of {clip.patch_size} pixels.")
    scale = clip.norm_scale * math.sqrt((1 + clip.grid**2) / (1 + grid**2))
    return replace(clip, image_size=grid * clip.patch_size, norm_scale=scale)


def interpolate_patches(table: Tensor, grid: int) -> Tensor:
    """Interpolate CLIP's position table (1 + M, C) to ``grid`` patches a side; row 0, for the class token, is kept."""
    old = math.isqrt(len(table) - 1)
    if grid == old:
        return table
    patches = table[1:].float().T.reshape(1, -1, old, old)
    new = F.interpolate(patches, (grid, grid), mode="bilinear", align_corners=False)
    return torch.cat([table[:1].float(), new.flatten(2)[0].T])


def _sam_state(model: ReferenceModel, config: ModelConfig) -> dict[str, Tensor]:
    """Return SAM's state with positions for another grid."""
    grid, state = config.sam.grid, model.sam.state_dict()
    positions = state["image_encoder.pos_embed"].permute(0, 3, 1, 2)
    positions = F.interpolate(positions, (grid, grid), mode="bilinear", align_corners=False)
    state["image_encoder.pos_embed"] = positions.permute(0, 2, 3, 1).contiguous()
    for i, block in enumerate(config.sam.blocks):
        for axis in () if block.window else "hw":
            name = f"image_encoder.blocks.{i}.attn.rel_pos_{axis}"
            state[name] = _relative(state[name], grid)
    return state


def _relative(table: Tensor, grid: int) -> Tensor:
    """Interpolate a table of relative positions to (2 · grid - 1, c); the entry for a distance d is at d + grid - 1."""
    by_pair: Tensor = get_rel_pos(grid, grid, table)  # (query, key, c)
    return torch.cat([by_pair[0].flip(0), by_pair[1:, 0]]).contiguous()
