"""Seeded checkpoints of upstream's layout at the sizes of the paper, ViT-L and ViT-H too, written a weight at a time.

python -m benchmarks.large vit_h vit_h.safetensors
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from cgsam_edge.export.config import BlockConfig, ClipConfig, ModelConfig, PromptConfig, SamConfig
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.files import write_beside
from tests.golden.make_checkpoint import draw
from tests.tiny import upstream_parts

GLOBAL_BLOCKS = {"vit_b": (2, 5, 8, 11), "vit_l": (5, 11, 17, 23), "vit_h": (7, 15, 23, 31)}
"""Blocks of segment_anything's encoders with global attention; the last one is the last block."""

_SAM = {"vit_b": (768, 12), "vit_l": (1024, 16), "vit_h": (1280, 16)}
"""Width and heads."""

_CLIP_B = ClipConfig(512, 512, 16, 768, 12, 3072, 512, 12, 77, 49408)
_CLIP_L = ClipConfig(768, 504, 14, 1024, 24, 4096, 768, 12, 77, 49408)

Shapes = dict[str, dict[str, tuple[int, ...]]]
"""By part of the checkpoint and by name."""


def config(name: str) -> ModelConfig:
    """Return the sizes of a model: all of its blocks take text and vision, as upstream trains them.

    Args:
        name: "vit_b" with CLIP B/16, or "vit_l" or "vit_h" with CLIP L/14.
    """
    (width, heads), everywhere = _SAM[name], GLOBAL_BLOCKS[name]
    blocks = tuple(
        BlockConfig(0 if i in everywhere else 14, space_adapter=True, mlp_adapter=True, text=True, vision=True)
        for i in range(everywhere[-1] + 1)
    )
    sam = SamConfig(
        image_size=1024,
        patch_size=16,
        width=width,
        heads=heads,
        mlp_width=4 * width,
        space_adapter_width=width // 4,
        mlp_adapter_width=width // 4,
        prompt_width=256,
        blocks=blocks,
    )
    return ModelConfig(sam, _CLIP_B if name == "vit_b" else _CLIP_L, PromptConfig(trained_for=("text",)))


def shapes(settings: ModelConfig) -> Shapes:
    """Return name and shape of each tensor of a checkpoint, without its data."""
    with torch.device("meta"):
        sam, clip = upstream_parts(ReferenceModel(settings))
    return {
        "model_state_dict": {name: tuple(tensor.shape) for name, tensor in sam.items()},
        "clip_model": {name: tuple(tensor.shape) for name, tensor in clip.items()},
    }


def write(settings: ModelConfig, path: Path, seed: int = 0) -> None:
    """Write a checkpoint as safetensors; one tensor is in memory at a time.

    Args:
        settings: of the model.
        path: the file.
        seed: of the weights, which are those of ``tests/golden/make_checkpoint.py`` for the same name and shape.

    Raises:
        OutputError: the file cannot be written.
    """
    listed = [
        (f"{part}.{name}", name, shape) for part, held in shapes(settings).items() for name, shape in held.items()
    ]

    def save(beside: Path) -> None:
        with beside.open("wb") as file:
            _write_head(file, [(key, shape) for key, _, shape in listed])
            for tensor in _tensors([(name, shape) for _, name, shape in listed], settings, seed):
                file.write(tensor.tobytes())

    write_beside(path, save)


def _write_head(file: BinaryIO, listed: list[tuple[str, tuple[int, ...]]]) -> None:
    """Write the length and the JSON that begin a safetensors file."""
    head: dict[str, object] = {"__metadata__": {"trained_for": "text"}}
    end = 0
    for key, shape in listed:
        start, end = end, end + 4 * math.prod(shape)
        head[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)


def _tensors(
    listed: list[tuple[str, tuple[int, ...]]], settings: ModelConfig, seed: int
) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Yield the weights; upstream stores the attention of one CLIP block twice."""
    twin = f"visual.transformer.resblocks.{settings.clip.layers - 6}.attn."
    for name, shape in listed:
        key = name.replace("visual.attn.", twin) if name.startswith("visual.attn.") else name
        yield np.ascontiguousarray(draw(key, shape, seed), dtype="<f4")


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("name", choices=list(_SAM))
    parser.add_argument("path", type=Path, help="the .safetensors file: 1.2, 3 or 4.5 GB")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(config(options.name), options.path, options.seed)


if __name__ == "__main__":
    main()
