"""Public CLIP weights: those that nothing tells, and those of other models."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch

from tests.hostile.cases import REFUSED, case
from tests.hostile.kit import Kit, put


def _saved(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, folder / "clip.pt")
    return folder / "clip.pt"


@case(
    "CLIP weights",
    REFUSED,
    "nothing says which activation…(--clip-activation…how many heads…(--clip-heads",
)
def unknown(folder: Path, kit: Kit) -> Path:
    """Weights of nobody knows whom"""
    return _saved(folder, kit.model.clip.state_dict())


@case("CLIP weights", REFUSED, "open_clip_config.json: describes a CLIP that differs from the weights next to it")
def other_configuration(folder: Path, kit: Kit) -> Path:
    """The configuration of other weights beside them"""
    put(folder / "open_clip_config.json", json.dumps({"model_cfg": open_clip.get_model_config("ViT-B-16")}))
    return _saved(folder, kit.model.clip.state_dict())


@case("CLIP weights", REFUSED, "contains SAM, but --clip takes")
def sam_in_its_place(folder: Path, kit: Kit) -> Path:
    """SAM's checkpoint in place of CLIP's"""
    return _saved(folder, kit.parts()[0])


@case("CLIP weights", REFUSED, "CLIP under the names of Hugging Face transformers")
def transformers_clip(folder: Path, kit: Kit) -> Path:
    """CLIPModel's weights"""
    return _saved(folder, {"vision_model.a": torch.zeros(3), "text_model.b": torch.ones(1)})


@case("CLIP weights", REFUSED, "a CLIP ResNet, which is not supported")
def resnet(folder: Path, kit: Kit) -> Path:
    """RN50"""
    return _saved(folder, {"visual.layer1.0.conv1.weight": torch.zeros(1), "token_embedding.weight": torch.zeros(2, 2)})


@case("CLIP weights", REFUSED, "a CLIP with an image tower from timm")
def siglip(folder: Path, kit: Kit) -> Path:
    """SigLIP"""
    return _saved(folder, {"visual.trunk.pos_embed": torch.zeros(1), "text.token_embedding.weight": torch.zeros(2, 2)})


@case("CLIP weights", REFUSED, "its text encoder has 250 tokens, CLIP's own tokenizer 49408")
def other_tokenizer(folder: Path, kit: Kit) -> Path:
    """A CLIP with another tokenizer"""
    return _saved(folder, {**kit.model.clip.state_dict(), "token_embedding.weight": torch.zeros(250, 64)})


@case("CLIP weights", REFUSED, "lacks the tensor 'visual.proj'")
def without_projection(folder: Path, kit: Kit) -> Path:
    """A vision tower without its last matrix"""
    return _saved(folder, {k: v for k, v in kit.model.clip.state_dict().items() if k != "visual.proj"})
