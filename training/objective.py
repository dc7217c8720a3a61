"""The loss of a step: the two towers against all labels of a picture, or the whole model against some masks."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.reference.similarity import dense_prompt, similarity, similarity_map
from training.data import Batch, draw_concepts, generator_of
from training.losses import dense_loss, mask_iou, mask_loss, mask_target, patch_loss, picture_loss
from training.model import DenseHead, Prompts, TokenHead, decode, encode, features, normalised, prefix, sized, suffix
from training.prompts import MOST_CORRECTIONS, correct, draw_kind, draw_prompts
from training.text import Vocabulary

BLIND = 0.3
"""Share of the pairs whose adapters see no similarity: without them, the model never learns to use the text."""

ABSENT = 0.15
"""Share of the pairs that ask for a concept that the picture lacks."""

EASY = 0.1
"""What a mask without errors counts for in the loss of corrections; one that misses everything counts 1 more."""

WORTH = {"text": 0.35, "corrections": 0.4}
"""Weights of the masks' losses; the third kind of prompt has what is left of 1."""

VARIANTS = (0.6, 0.2, 0.2)
"""How often a concept goes by all of its names together, by its first one alone, and by its synonym alone."""


@dataclass(frozen=True)
class Pairs:
    """(picture, concept) pairs of a step, encoded and ready for prompts.

    Attributes:
        embedding: image embeddings (n, prompt width, grid, grid).
        maps: similarity maps (n, 1, S, S).
        labels: of each pair's picture, int64 (n, S, S).
        concepts: int64 (n,).
        present: whether the picture shows the concept, bool (n,).
    """

    embedding: Tensor
    maps: Tensor
    labels: Tensor
    concepts: Tensor
    present: Tensor


class Calibration(nn.Module):
    """Scales and biases of the similarity losses (as in SigLIP); they are not part of the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_scale, self.patch_bias = nn.Parameter(torch.tensor(2.5)), nn.Parameter(torch.tensor(2.0))
        self.picture_scale, self.picture_bias = nn.Parameter(torch.tensor(2.3)), nn.Parameter(torch.tensor(0.0))


@dataclass
class Objective:
    """The losses of one model.

    Attributes:
        model: what is trained.
        head, token_head, calibration: parts that only training needs.
        words: text features of the concepts.
        rarity: frequency of each concept in prompts, (concepts,).
        seed: of concepts and prompts.
        concepts: per picture of a joint step.
    """

    model: ReferenceModel
    head: DenseHead
    token_head: TokenHead
    calibration: Calibration
    words: Vocabulary
    rarity: Tensor
    seed: int
    concepts: int

    def _clip(self, found: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        """Tie CLIP's patches and class token to the text features."""
        c, text = self.calibration, self.words.features
        with torch.autocast(found.device.type, enabled=False):
            patches = patch_loss(found, text, labels, c.patch_scale, c.patch_bias)
            return patches + 0.3 * picture_loss(found[:, 0], text, present, c.picture_scale, c.picture_bias)

    def towers(self, batch: Batch) -> Tensor:
        """Pretrain both towers: CLIP against captions of patches and pictures, SAM's encoder against all concepts."""
        pixels = normalised(batch.pixels)
        clip = self._clip(features(self.model, pixels).float(), batch.labels, batch.present().float())
        tokens = prefix(self.model, pixels)
        logits = self.head(self.model, suffix(self.model, tokens, None, None))
        return dense_loss(logits, batch.labels) + 0.5 * dense_loss(self.token_head(tokens), batch.labels) + clip

    def joint(self, batch: Batch, step: int) -> Tensor:
        """Train the whole model on some concepts of each picture, prompted as in use and by clicks or a box."""
        model, device = self.model, batch.pixels.device
        rng, drawn = np.random.default_rng((self.seed, step, 2)), generator_of(device, self.seed, step, 2)
        here, repeat = batch.present(), self.concepts
        rows = draw_concepts(drawn, here, self.rarity, repeat, ABSENT)
        concepts, present = rows.flatten(), here.gather(1, rows).flatten()
        side = batch.labels.shape[-1]
        pixels = normalised(batch.pixels)
        found = features(model, pixels).float()
        clip = self._clip(found, batch.labels, here.float())
        text = self.words.variants[concepts, self._variants(drawn, concepts)]
        each = found.repeat_interleave(repeat, 0)
        tokens = prefix(model, pixels)
        seen = dense_loss(self.token_head(tokens), batch.labels)
        shown = (torch.rand(len(concepts), generator=drawn, device=device) >= BLIND).float()
        embedding = encode(model, tokens.repeat_interleave(repeat, 0), each, text, shown)
        with torch.autocast(device.type, enabled=False):
            maps = similarity_map(similarity(each.detach(), text), side)
        pairs = Pairs(embedding, maps, batch.labels.repeat_interleave(repeat, 0), concepts, present)
        losses, rest = self.masks(pairs, drawn, rng), 1 - sum(WORTH.values())
        masks = torch.stack([WORTH.get(kind, rest) * loss for kind, loss in losses.items()])
        return masks.sum() + 0.5 * (clip + seen)

    def _variants(self, drawn: torch.Generator, concepts: Tensor) -> Tensor:
        """Draw which of a concept's texts each pair sees."""
        chance = concepts.new_tensor(VARIANTS, dtype=torch.float32)
        return torch.multinomial(chance, len(concepts), True, generator=drawn)

    def masks(self, pairs: Pairs, drawn: torch.Generator, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the losses of the masks from text, from clicks that correct that mask, and by one of `KINDS`.

        Of a concept that is absent, only text teaches the mask; the others teach that its predicted IoU is 0.
        """
        config, kind = self.model.config.prompt, draw_kind(rng)
        here = pairs.labels == pairs.concepts[:, None, None]
        text = draw_prompts(drawn, rng, "text", pairs.maps, here, config)
        logits, iou = self._decode(pairs, text)
        target, weight = mask_target(pairs.labels, pairs.concepts, logits.shape[-1])
        shown = weight * pairs.present[:, None, None]
        losses = {"text": mask_loss(logits, iou, target, weight)}
        missing = (1 - mask_iou(logits, target, weight)) * pairs.present + EASY
        count = int(rng.integers(1, MOST_CORRECTIONS + 1))
        corrections = self._corrections(pairs, drawn, logits.detach(), target, weight, count)
        for name, prompts, importance in (
            ("corrections", corrections, missing / missing.mean()),
            (kind, draw_prompts(drawn, rng, kind, pairs.maps, here, config), None),
        ):
            losses[name] = mask_loss(*self._decode(pairs, prompts), target, shown, importance)
        return losses

    def _decode(self, pairs: Pairs, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Return logits (n, m, m) and predicted IoU (n,) of prompts."""
        prompt, side = self.model.config.prompt, pairs.labels.shape[-1]
        with torch.autocast(pairs.maps.device.type, enabled=False):
            dense = dense_prompt(pairs.maps, side // 4, prompt.threshold, prompt.dense_value)
        with sized(self.model, side):
            logits, iou = decode(self.model, pairs.embedding, dense, prompts)
        return logits[:, 0], iou

    @torch.no_grad()
    def _corrections(
        self, pairs: Pairs, drawn: torch.Generator, logits: Tensor, target: Tensor, weight: Tensor, count: int
    ) -> Prompts:
        """Return ``count`` clicks, each on an error of the mask that the clicks before it gave; the first, of ``logits``."""
        made: Prompts | None = None
        for number in range(count):
            if number:
                assert made is not None
                logits = self._decode(pairs, made)[0]
            made = correct(drawn, target > 0.5, logits > 0, weight > 0.5, pairs.labels.shape[-1], made)
        assert made is not None
        return made
