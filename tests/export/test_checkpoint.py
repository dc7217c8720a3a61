"""Every layout that can be read, and every file that cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cgsam_edge.export.checkpoint import read_checkpoint
from cgsam_edge.export.config import PromptConfig
from cgsam_edge.export.layout import Shapes, infer_clip, infer_sam
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.reference import ReferenceModel
from tests import tiny
from tests.conftest import GOLDEN
from tests.tiny import Parts, write


def same(a: ReferenceModel, b: ReferenceModel) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize("kinds", ["ssss", "psss", "pppt", "vvvv", "pppp", "nnss", "nnnn"])
def test_adapters_are_inferred(kinds: str, tmp_path: Path) -> None:
    made = tiny.model(tiny.config(kinds))
    loaded = load_reference(tiny.save(made, tmp_path / "c.pth"))
    assert loaded.config == made.config
    assert same(loaded, made)


def test_names_of_data_parallel_training(parts: Parts, model: ReferenceModel, tmp_path: Path) -> None:
    sam, clip = ({f"module.{k}": v for k, v in part.items()} for part in parts)
    assert same(load_reference(write(tmp_path / "c.pth", sam, clip)), model)


def test_safetensors_with_a_prefix_per_part(parts: Parts, model: ReferenceModel, tmp_path: Path) -> None:
    named = zip(("model_state_dict", "clip_model"), parts, strict=True)
    flat = {f"{part}.{k}": v.clone() for part, state in named for k, v in state.items()}
    save_file(flat, tmp_path / "c.safetensors", metadata={"trained_for": '"text,clicks"'})
    assert same(load_reference(tmp_path / "c.safetensors"), model)
    assert read_checkpoint(tmp_path / "c.safetensors").metadata == {"trained_for": '"text,clicks"'}
    assert load_reference(tmp_path / "c.safetensors").config.prompt.trained_for == ("text", "clicks")
    save_file({**flat, "training.head.weight": torch.zeros(2)}, tmp_path / "more.safetensors")
    assert same(load_reference(tmp_path / "more.safetensors"), model)  # as the reference model's own checkpoint has
    assert "training" in " ".join(read_checkpoint(tmp_path / "more.safetensors").notes)
    told = PromptConfig(trained_for=("clicks",))
    assert load_reference(tmp_path / "c.safetensors", prompt=told).config.prompt == told


def test_half_precision_is_widened(parts: Parts, tmp_path: Path) -> None:
    sam, clip = ({k: v.half() for k, v in part.items()} for part in parts)
    loaded = load_reference(write(tmp_path / "c.pth", sam, clip))
    assert all(v.dtype == torch.float32 for v in loaded.state_dict().values())


def test_scores_saved_as_numpy_numbers(parts: Parts, model: ReferenceModel, tmp_path: Path) -> None:
    path = write(tmp_path / "c.pth", *parts, best_IoU=np.float64(0.5), val_loss=np.float32(1))
    assert same(load_reference(path), model)


def open_clip_dict(clip: dict[str, Any], path: Path) -> None:
    torch.save({"state_dict": {f"module.{k}": v for k, v in clip.items()}}, path)


def custom_text(clip: dict[str, Any], path: Path) -> None:
    torch.save({k if k.startswith(("visual.", "logit_scale")) else f"text.{k}": v for k, v in clip.items()}, path)


def openai_archive(clip: dict[str, Any], path: Path) -> None:
    class Holder(torch.nn.Module):
        pass

    root = Holder()
    for key, value in {**clip, "input_resolution": torch.tensor(64), "vocab_size": torch.tensor(49408)}.items():
        *folders, name = key.split(".")
        at: torch.nn.Module = root
        for folder in folders:
            if not hasattr(at, folder):
                at.add_module(folder, Holder())
            at = getattr(at, folder)
        at.register_buffer(name, value.clone())
    torch.jit.script(root).save(str(path))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("writer", [open_clip_dict, custom_text, openai_archive], ids=lambda w: w.__name__)
def test_public_clip_beside_a_checkpoint_without(
    writer: Callable[[dict[str, Any], Path], None], model: ReferenceModel, parts: Parts, tmp_path: Path
) -> None:
    """CLIP was not trained, or there is no training at all: plain SAM and public CLIP."""
    writer(dict(model.clip.state_dict()), tmp_path / "clip.pt")
    path = write(tmp_path / "c.pth", parts[0], None)
    assert same(load_reference(path, clip=tmp_path / "clip.pt", **tiny.OPENAI_CLIP), model)


def test_plain_sam_is_a_bare_state_dict(tmp_path: Path) -> None:
    made = tiny.model(tiny.config("nnnn"))
    torch.save(made.sam.state_dict(), tmp_path / "sam.pth")
    torch.save(made.clip.state_dict(), tmp_path / "clip.pt")
    loaded = load_reference(tmp_path / "sam.pth", clip=tmp_path / "clip.pt", **tiny.OPENAI_CLIP)
    assert loaded.config == made.config
    assert not loaded.config.sam.pad_before_norm


def test_public_positions_are_interpolated(model: ReferenceModel, parts: Parts, tmp_path: Path) -> None:
    torch.save(model.clip.state_dict(), tmp_path / "clip.pt")
    path = write(tmp_path / "c.pth", parts[0], None)
    loaded = load_reference(path, clip=tmp_path / "clip.pt", clip_image_size=100, **tiny.OPENAI_CLIP)
    assert (loaded.config.clip.image_size, loaded.config.clip.grid) == (96, 6)
    table, old = loaded.clip.visual.positional_embedding, model.clip.visual.positional_embedding
    assert torch.equal(table[0], old[0])
    torch.testing.assert_close(table[1:].mean(0), old[1:].mean(0), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("name", "width", "depth", "heads", "clip_width", "patch"),
    [("b", 768, 12, 12, 768, 16), ("l", 1024, 24, 16, 1024, 14), ("h", 1280, 32, 16, 768, 16)],
)
def test_real_sizes(name: str, width: int, depth: int, heads: int, clip_width: int, patch: int) -> None:
    """ViT-B, L and H, from the shapes of tensors without data; CLIP B/16 and L/14."""
    del name
    from cgsam_edge.export.config import BlockConfig, ClipConfig, ModelConfig, SamConfig

    every = depth // 4
    made = ModelConfig(
        SamConfig(
            1024,
            16,
            width,
            heads,
            4 * width,
            width // 4,
            width // 4,
            256,
            tuple(
                BlockConfig(0 if i % every == every - 1 else 14, True, True, i >= depth - 4, i >= depth - 4)
                for i in range(depth)
            ),
        ),
        ClipConfig(768, 36 * patch, patch, clip_width, 12, 4 * clip_width, 512, 12, 77, 49408),
    )
    with torch.device("meta"):
        meta = ReferenceModel(made)
    path = Path("checkpoint.pth")
    assert infer_sam(Shapes(path, meta.sam.state_dict())) == made.sam
    assert infer_clip(Shapes(path, meta.clip.state_dict())) == made.clip


def test_golden_layout_is_the_real_one() -> None:
    keys = json.loads((GOLDEN / "keys_vit_b.json").read_text())["model_state_dict"]
    sam = infer_sam(Shapes(Path("c"), {k: torch.empty(s, device="meta") for k, s in keys.items()}))
    assert (sam.image_size, sam.width, sam.heads, len(sam.blocks)) == (1024, 768, 12, 12)
    assert [i for i, b in enumerate(sam.blocks) if not b.window] == [2, 5, 8, 11]
    assert all(b.window in (0, 14) and b.text and b.vision and b.space_adapter for b in sam.blocks)
