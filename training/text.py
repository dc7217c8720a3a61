"""The names of the concepts, and the first stage of training: a text tower that distinguishes them."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.reference.text import templates, text_feature, tokenize
from cgsam_edge.quality.scenes import CONCEPTS

SYNONYMS: dict[str, tuple[str, ...]] = {
    "sky": (),
    "building": ("house",),
    "pole": ("post",),
    "road": ("street",),
    "pavement": ("sidewalk",),
    "tree": ("trees",),
    "sign": ("traffic sign",),
    "fence": ("railing",),
    "car": ("vehicle",),
    "pedestrian": ("person",),
    "bicyclist": ("cyclist",),
}
TEMPERATURE = 0.1


@dataclass(frozen=True)
class Vocabulary:
    """Text features of the concepts.

    Attributes:
        features: (concepts, D), unit norm: t of all names of a concept together.
        variants: (concepts, 3, D): t of all names, of the name alone, and of the synonym alone (or the name again).
    """

    features: Tensor
    variants: Tensor


def names_of(concept: str) -> tuple[str, ...]:
    """Return a concept's name and its synonyms."""
    return (concept, *SYNONYMS[concept])


def _encode(model: ReferenceModel, texts: list[str]) -> Tensor:
    tokens = tokenize(texts, model.config.clip.context_length).to(model.clip.token_embedding.weight.device)
    out: Tensor = model.clip.encode_text(tokens)
    return out


def _redundant(model: ReferenceModel) -> Tensor:
    """t_0 with gradients, (D,): the reference computes it without."""
    embeddings = F.normalize(_encode(model, [template("") for template in templates()]), dim=-1)
    out: Tensor = (embeddings / embeddings.mean(dim=0).norm()).mean(dim=0)
    return out


def vocabulary(model: ReferenceModel) -> Vocabulary:
    """Return the text features of all concepts, computed as in use."""
    redundant = _redundant(model)
    rows = []
    for concept in CONCEPTS:
        raw = _encode(model, list(names_of(concept)))
        kinds = (raw.mean(dim=0), raw[0], raw[-1])
        rows.append(torch.stack([text_feature(kind, redundant) for kind in kinds]))
    variants = torch.stack(rows)
    return Vocabulary(variants[:, 0], variants)


def train_text(model: ReferenceModel, steps: int, seed: int) -> list[float]:
    """Train the text tower until names are orthogonal, a concept's synonyms alike, and captions near their concept.

    It stays as it is afterwards: the image towers learn to agree with it (locked-text tuning).

    Returns:
        The loss of each step.
    """
    clip, captions = model.clip, templates()
    parameters = [p for name, p in clip.named_parameters() if not name.startswith("visual.") and name != "logit_scale"]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(len(CONCEPTS)).repeat_interleave(3)
    losses = []
    for _ in range(steps):
        words = vocabulary(model)
        drawn = torch.randint(len(captions), (len(CONCEPTS),), generator=generator).tolist()
        texts = _encode(model, [captions[i](concept) for i, concept in zip(drawn, CONCEPTS, strict=True)])
        scores = words.variants.flatten(0, 1) @ words.features.T / TEMPERATURE
        captioned = F.normalize(texts - _redundant(model).detach(), dim=-1) @ words.features.T / TEMPERATURE
        device = scores.device
        alike = F.cross_entropy(scores, target.to(device))
        apart = (words.features @ words.features.T - torch.eye(len(CONCEPTS), device=device)).square().mean()
        loss = alike + F.cross_entropy(captioned, torch.arange(len(CONCEPTS), device=device)) + 4 * apart
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses
