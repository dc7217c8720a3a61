"""Seeded models of twelve blocks and any size, in which some blocks depend on the concept."""

from __future__ import annotations

from collections.abc import Iterator

from cgsam_edge.export.config import BlockConfig, ClipConfig, ModelConfig, PromptConfig, SamConfig

BLOCKS, _GLOBAL = 12, (2, 5, 8, 11)


def config(count: int, side: int, width: int, window: int) -> ModelConfig:
    """Return a model of twelve blocks with adapters, of which the last ones are semantic.

    Args:
        count: number of semantic blocks.
        side: of its input, in pixels.
        width: channels, in heads of 64.
        window: of its attention where that is not global, in tokens of 16 pixels.
    """
    sam = SamConfig(
        image_size=side,
        patch_size=16,
        width=width,
        heads=width // 64,
        mlp_width=4 * width,
        space_adapter_width=width // 4,
        mlp_adapter_width=width // 4,
        prompt_width=256,
        blocks=tuple(_blocks(count, window)),
    )
    clip = ClipConfig(
        embed_dim=512,
        image_size=side // 2,
        patch_size=16,
        width=width,
        layers=12,
        mlp_width=4 * width,
        text_width=64,
        text_layers=1,
        context_length=77,
        vocab_size=49408,
    )
    return ModelConfig(sam, clip, PromptConfig(trained_for=("text",)))


def _blocks(count: int, window: int) -> Iterator[BlockConfig]:
    for i in range(BLOCKS):
        semantic, side = i >= BLOCKS - count, 0 if i in _GLOBAL else window
        yield BlockConfig(side, space_adapter=True, mlp_adapter=True, text=semantic, vision=semantic)
