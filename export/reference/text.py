"""Upstream's text features: raw, redundant, and their normalised difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import open_clip
import torch
from torch import Tensor

_SCENE_TEMPLATES = (
    "there is a {} in the scene.",
    "there is the {} in the scene.",
    "this is a {} in the scene.",
    "this is the {} in the scene.",
    "this is one {} in the scene.",
)


def templates() -> list[Callable[[str], str]]:
    """Return CLIP-Surgery's 85 templates: OpenAI's 80 for ImageNet and five about scenes."""
    return [*open_clip.OPENAI_IMAGENET_TEMPLATES, *(t.format for t in _SCENE_TEMPLATES)]


def tokenize(texts: Sequence[str], context_length: int) -> Tensor:
    """Return CLIP's tokens, int64 (N, context_length), padded with zeros; longer texts are truncated."""
    tokens: Tensor = open_clip.tokenize(list(texts), context_length)
    return tokens


@torch.inference_mode()
def embed_texts(clip: Any, texts: Sequence[str]) -> Tensor:
    """Return CLIP's unnormalised text embeddings, (N, D)."""
    out: Tensor = clip.encode_text(tokenize(texts, clip.context_length))
    return out


def ensemble(clip: Any, name: str) -> Tensor:
    """Embed ``name`` in the 85 templates, normalise each, divide by the norm of the mean, average: (D,)."""
    embeddings = embed_texts(clip, [template(name) for template in templates()])
    embeddings = embeddings / embeddings.norm(dim=-1, keepdim=True)
    out: Tensor = (embeddings / embeddings.mean(dim=0).norm()).mean(dim=0)
    return out


def redundant_feature(clip: Any) -> Tensor:
    """t_0 of the contract, (D,): the part that all texts share, the ensemble of the empty name."""
    return ensemble(clip, "")


def raw_feature(clip: Any, names: Sequence[str], *, prompt_ensemble: bool = False) -> Tensor:
    """t_raw of the contract, (D,): the mean over a concept's name and synonyms, unnormalised.

    With ``prompt_ensemble``, each name is averaged over the templates.
    """
    if prompt_ensemble:
        return torch.stack([ensemble(clip, name) for name in names]).mean(dim=0)
    return embed_texts(clip, names).mean(dim=0)


def text_feature(raw: Tensor, redundant: Tensor) -> Tensor:
    """T = (t_raw - t_0) / |t_raw - t_0|, (D,)."""
    difference = raw - redundant
    out: Tensor = difference / difference.norm()
    return out
