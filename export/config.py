"""The configuration of a checkpoint: sizes of its SAM and CLIP, and the prompts of its training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cgsam_edge.errors import InputError

SimilarityNorm = Literal["tokens", "channels"]
"""Axis over which image features are normalised: upstream's code takes the tokens, the paper the channels."""

PromptKind = Literal["text", "clicks"]

Activation = Literal["quickgelu", "gelu"]
"""Activation of CLIP's MLPs: OpenAI's were trained with QuickGELU, x · sigmoid(1.702 x), most others with GELU."""

OPENAI_ACTIVATION: Activation = "quickgelu"

OPENAI_HEAD_WIDTH = 64
"""Channels per head of every OpenAI CLIP, in both towers."""

DEFAULT_PROMPT_SLOTS = 16
"""Default number of click slots."""

SURGERY_LAYERS = 6
"""CLIP-Surgery's second path starts at the sixth-last vision block."""


@dataclass(frozen=True)
class BlockConfig:
    """One block of SAM's image encoder.

    Attributes:
        window: side of the attention window in tokens; 0 means global attention.
        space_adapter: whether an adapter follows the attention.
        mlp_adapter: whether an adapter runs parallel to the MLP.
        text: whether that adapter takes the text feature.
        vision: whether that adapter takes CLIP's patch features and the similarity.
    """

    window: int
    space_adapter: bool = False
    mlp_adapter: bool = False
    text: bool = False
    vision: bool = False

    @property
    def semantic(self) -> bool:
        """Whether the block depends on the concept."""
        return self.text or self.vision

    @property
    def adapted(self) -> bool:
        """Whether the block has any adapter."""
        return self.space_adapter or self.mlp_adapter


@dataclass(frozen=True)
class SamConfig:
    """Sizes of a SAM with adapters. Lengths are in pixels if named so, otherwise in channels or counts.

    In the first ``shared_blocks`` semantic blocks all concepts share one condition: see `cgsam_edge.export.sharing`.
    """

    image_size: int
    patch_size: int
    width: int
    heads: int
    mlp_width: int
    space_adapter_width: int
    mlp_adapter_width: int
    prompt_width: int
    blocks: tuple[BlockConfig, ...]
    mask_channels: int = 16
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp_width: int = 2048
    decoder_downsample: int = 2
    mask_tokens: int = 4
    iou_depth: int = 3
    iou_width: int = 256
    shared_blocks: int = 0

    @property
    def grid(self) -> int:
        """Tokens along one side of the image."""
        return self.image_size // self.patch_size

    @property
    def mask_size(self) -> int:
        """Pixels along one side of the mask logits and of the dense prompt."""
        return 4 * self.grid

    @property
    def head_width(self) -> int:
        """Channels of one attention head of the image encoder."""
        return self.width // self.heads

    @property
    def pad_before_norm(self) -> bool:
        """Whether windows are padded before the norm: upstream's order, in any checkpoint with an adapter."""
        return any(block.adapted for block in self.blocks)

    @property
    def semantic_blocks(self) -> tuple[int, ...]:
        """Indices of the blocks that depend on the concept, ascending."""
        return tuple(i for i, block in enumerate(self.blocks) if block.semantic)

    @property
    def first_own(self) -> int:
        """The first block whose condition is the concept's own; the number of blocks where there is none."""
        own = self.semantic_blocks[self.shared_blocks :]
        return own[0] if own else len(self.blocks)


@dataclass(frozen=True)
class ClipConfig:
    """Sizes of a CLIP with two transformers, and properties that its shapes do not reveal.

    ``norm_scale`` scales the norm over the tokens: the square root of the tokens in training divided by those here, so
    that features keep the magnitude of training. ``activation`` and the widths of a head, in channels, are OpenAI's
    unless `clip_form` finds others.
    """

    embed_dim: int
    image_size: int
    patch_size: int
    width: int
    layers: int
    mlp_width: int
    text_width: int
    text_layers: int
    context_length: int
    vocab_size: int
    norm_scale: float = 1.0
    activation: Activation = OPENAI_ACTIVATION
    head_width: int = OPENAI_HEAD_WIDTH
    text_head_width: int = OPENAI_HEAD_WIDTH

    @property
    def heads(self) -> tuple[int, int]:
        """Heads of the vision tower and of the text tower."""
        return self.width // self.head_width, self.text_width // self.text_head_width

    @property
    def grid(self) -> int:
        """Patches along one side of CLIP's input."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class PromptConfig:
    """Settings that checkpoints do not record; the defaults are upstream's.

    Attributes:
        similarity_norm: axis of the feature norm, "tokens" (upstream's code) or "channels" (the paper).
        threshold: value of the similarity map, in (0, 1), above which a pixel may be a point and is set in the dense
            prompt.
        points: number of points drawn in text-only mode.
        dense_value: value of a set pixel of the dense prompt.
        trained_for: the kinds of prompts that training used; None means the entry in the checkpoint's metadata,
            otherwise text.
    """

    similarity_norm: SimilarityNorm = "tokens"
    threshold: float = 0.8
    points: int = 5
    dense_value: float = 255.0
    trained_for: tuple[PromptKind, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise InputError(f"the threshold must be between 0 and 1, got {self.threshold:g}.")
        if self.points < 1:
            raise InputError(f"text-only mode needs at least 1 point, got {self.points}.")


@dataclass(frozen=True)
class ModelConfig:
    """A whole CLIP-Guided SAM."""

    sam: SamConfig
    clip: ClipConfig
    prompt: PromptConfig = field(default_factory=PromptConfig)
