"""Reading a model's sizes from the names and shapes of its tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from cgsam_edge.errors import CheckpointError
from cgsam_edge.export.config import BlockConfig, ClipConfig, SamConfig

CLIP_VOCABULARY = 49408
"""Number of tokens of CLIP's own tokenizer, the only one that the export supports."""

_OTHER_NAMES = {
    r"(?:^|\.)(?:vision_encoder\.(?:layers|patch_embed)|prompt_encoder\.shared_embedding|shared_image_embedding)\.": (
        "SAM under the names of Hugging Face transformers. Take the same weights as segment_anything saves them (such "
        "as sam_vit_b_01ec64.pth), or copy them into its model and save that model's state dict"
    ),
    r"(?:^|\.)(?:vision_model|text_model|visual_projection)\.": (
        "CLIP under the names of Hugging Face transformers. Take the same weights as open_clip saves them "
        "(open_clip_pytorch_model.bin or open_clip_model.safetensors)"
    ),
    r"^visual\.trunk\.": "a CLIP with an image tower from timm; only open_clip's vision transformers can be exported",
}

_UNSUPPORTED = (
    (r"lora_|\.lora|linear_[ab]_[qv]|w_[ab]_[qv]", "LoRA"),
    (r"Depth_|_Adapter_t|T_Adapter", "the depth or temporal adapters of Medical SAM Adapter"),
    (r"prompt_generator|shared_mlp|lightweight_mlp", "SAM-Adapter's prompt generator"),
    (r"hf_token|compress_vit_feat|embedding_maskfeature", "HQ-SAM"),
    (r"vpt|prompt_embeddings|prompt_tokens", "visual prompt tuning"),
    (r"ssf_|\.scale_\d|shift_\d", "SSF"),
    (r"convpass|mona|Conv_Adapter", "convolutional adapters"),
    (r"visual\.layer\d|visual\.attnpool", "a CLIP ResNet"),
    (r"image_encoder\.(layers|stages|trunk)", "an image encoder other than SAM's ViT (MobileSAM, EdgeSAM or SAM 2)"),
)


class Shapes:
    """Shapes of a state dict, by key, with errors that name the file and the key.

    Args:
        path: the file, for messages.
        state: its tensors.
    """

    def __init__(self, path: Path, state: Mapping[str, Tensor]) -> None:
        self.path = path
        self.keys = state.keys()
        self._shapes = {k: tuple(v.shape) for k, v in state.items()}

    def get(self, key: str, dims: int) -> tuple[int, ...]:
        """Return the shape of ``key``.

        Raises:
            CheckpointError: it is missing, or its number of dimensions is not ``dims``.
        """
        if key not in self._shapes:
            raise CheckpointError(f"{self.path}: lacks the tensor {key!r}.{_hint(self.keys)}")
        shape = self._shapes[key]
        if len(shape) != dims:
            raise CheckpointError(f"{self.path}: {key!r} has shape {shape}; expected {dims} dimensions.")
        if not all(shape):
            raise CheckpointError(f"{self.path}: {key!r} has shape {shape}, so it is empty.")
        return shape

    def count(self, prefix: str) -> int:
        """Return the number of consecutive entries ``prefix``0., ``prefix``1., ….

        Raises:
            CheckpointError: there are none, or there is a gap.
        """
        found = {int(m.group(1)) for k in self.keys if (m := re.match(re.escape(prefix) + r"(\d+)\.", k))}
        if not found:
            raise CheckpointError(f"{self.path}: lacks all tensors {prefix + '*'!r}.{_hint(self.keys)}")
        missing = sorted(set(range(max(found) + 1)) - found)
        if missing:
            raise CheckpointError(f"{self.path}: lacks the tensors '{prefix}{missing[0]}.*'.")
        return len(found)

    def has(self, key: str) -> bool:
        """Whether a tensor of that name exists."""
        return key in self._shapes

    def first(self, pattern: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the first key that matches ``pattern``."""
        return next((s for k, s in self._shapes.items() if re.fullmatch(pattern, k)), default)


def _hint(keys: Iterable[str]) -> str:
    variant = unsupported_variant(keys)
    return f" It looks like {variant}, which is not supported." if variant else ""


def unsupported_variant(keys: Iterable[str]) -> str | None:
    """Return the research variant to which ``keys`` belong, if it is a known unsupported one."""
    names = list(keys)
    return next((name for pattern, name in _UNSUPPORTED if any(re.search(pattern, k) for k in names)), None)


def _refuse_others(shapes: Shapes) -> None:
    for pattern, what in _OTHER_NAMES.items():
        if any(re.search(pattern, key) for key in shapes.keys):
            raise CheckpointError(f"{shapes.path}: holds {what}.")
    variant = unsupported_variant(shapes.keys)
    if variant:
        raise CheckpointError(f"{shapes.path}: holds {variant}, which is not supported.")


def infer_sam(shapes: Shapes) -> SamConfig:
    """Infer SAM's sizes, and which blocks have which adapters.

    Raises:
        CheckpointError: a tensor that decides a size is missing, or the sizes contradict each other.
    """
    _refuse_others(shapes)
    encoder = "image_encoder."
    _, grid, _, width = shapes.get(f"{encoder}pos_embed", 4)
    patch = shapes.get(f"{encoder}patch_embed.proj.weight", 4)[-1]
    head_width = shapes.get(f"{encoder}blocks.0.attn.rel_pos_h", 2)[1]
    if width % head_width:
        raise CheckpointError(
            f"{shapes.path}: width {width} is not a multiple of the head width {head_width} ('{encoder}blocks.0.attn"
            ".rel_pos_h')."
        )
    depth = shapes.count(f"{encoder}blocks.")
    prompt_width = shapes.get(f"{encoder}neck.0.weight", 4)[0]
    adapter = rf"{re.escape(encoder)}blocks\.\d+\.%s\.D_fc1\.weight"
    return SamConfig(
        image_size=grid * patch,
        patch_size=patch,
        width=width,
        heads=width // head_width,
        mlp_width=shapes.get(f"{encoder}blocks.0.mlp.lin1.weight", 2)[0],
        space_adapter_width=shapes.first(adapter % "Space_Adapter", (0,))[0],
        mlp_adapter_width=shapes.first(adapter % "MLP_Adapter", (0,))[0],
        prompt_width=prompt_width,
        blocks=tuple(_infer_block(shapes, i, grid) for i in range(depth)),
        **_infer_decoder(shapes, prompt_width),
    )


def _infer_block(shapes: Shapes, index: int, grid: int) -> BlockConfig:
    prefix = f"image_encoder.blocks.{index}."
    table = shapes.get(f"{prefix}attn.rel_pos_h", 2)[0]
    if table > 2 * grid - 1 or table % 2 == 0:
        raise CheckpointError(
            f"{shapes.path}: '{prefix}attn.rel_pos_h' has {table} rows; expected {2 * grid - 1} (global attention on "
            f"{grid}x{grid} tokens) or 2·window - 1."
        )
    return BlockConfig(
        window=0 if table == 2 * grid - 1 else (table + 1) // 2,
        space_adapter=shapes.has(f"{prefix}Space_Adapter.D_fc1.weight"),
        mlp_adapter=shapes.has(f"{prefix}MLP_Adapter.D_fc1.weight"),
        text=shapes.has(f"{prefix}MLP_Adapter.text_projection.weight"),
        vision=shapes.has(f"{prefix}MLP_Adapter.vis_projection.weight"),
    )


def _infer_decoder(shapes: Shapes, prompt_width: int) -> dict[str, int]:
    decoder = "mask_decoder."
    layer = f"{decoder}transformer.layers."
    return {
        "mask_channels": shapes.get("prompt_encoder.mask_downscaling.3.weight", 4)[0],
        "decoder_depth": shapes.count(layer),
        "decoder_mlp_width": shapes.get(f"{layer}0.mlp.lin1.weight", 2)[0],
        "decoder_downsample": prompt_width // shapes.get(f"{layer}0.cross_attn_token_to_image.q_proj.weight", 2)[0],
        "mask_tokens": shapes.get(f"{decoder}mask_tokens.weight", 2)[0],
        "iou_depth": shapes.count(f"{decoder}iou_prediction_head.layers."),
        "iou_width": shapes.get(f"{decoder}iou_prediction_head.layers.0.weight", 2)[0],
    }


def infer_clip(shapes: Shapes) -> ClipConfig:
    """Infer CLIP's sizes from OpenAI's layout; the input side is the root of the positions, times the patch.

    Activation and heads, which shapes do not reveal, are set to OpenAI's; see `clip_form`.

    Raises:
        CheckpointError: a tensor that decides a size is missing.
    """
    _refuse_others(shapes)
    width, embed_dim = shapes.get("visual.proj", 2)
    positions = shapes.get("visual.positional_embedding", 2)[0]
    grid = math.isqrt(positions - 1)
    if grid * grid != positions - 1:
        raise CheckpointError(
            f"{shapes.path}: 'visual.positional_embedding' has {positions} rows; expected 1 + a square number."
        )
    patch = shapes.get("visual.conv1.weight", 4)[-1]
    context, text_width = shapes.get("positional_embedding", 2)
    vocabulary = shapes.get("token_embedding.weight", 2)[0]
    if vocabulary != CLIP_VOCABULARY:
        raise CheckpointError(
            f"{shapes.path}: its text encoder has {vocabulary} tokens, CLIP's own tokenizer {CLIP_VOCABULARY}. A CLIP "
            "with another tokenizer is not supported."
        )
    return ClipConfig(
        embed_dim=embed_dim,
        image_size=grid * patch,
        patch_size=patch,
        width=width,
        layers=shapes.count("visual.transformer.resblocks."),
        mlp_width=shapes.get("visual.transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        text_width=text_width,
        text_layers=shapes.count("transformer.resblocks."),
        context_length=context,
        vocab_size=vocabulary,
    )
