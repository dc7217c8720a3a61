"""The loss of a step: the two towers against all labels of a picture, or the whole model against some masks."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.reference.similarity import dense_prompt, similarity, similarity_map
from training.data import Batch, draw_concepts, generator_of
from training.losses import dense_loss, mask_loss, mask_target, patch_loss, picture_loss
from training.model import DenseHead, TokenHead, decode, encode, features, normalised, prefix, sized, suffix
from training.prompts import draw_kind, draw_prompts
from training.text import Vocabulary

BLIND = 0.3
"""Share of the pairs whose adapters see no similarity: without them, the model never learns to use the text."""


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
        """Train the whole model on some concepts of each picture, prompted as in use or by clicks or boxes."""
        model, device = self.model, batch.pixels.device
        rng, drawn = np.random.default_rng((self.seed, step, 2)), generator_of(device, self.seed, step, 2)
        kind, here, repeat = draw_kind(rng), batch.present(), self.concepts
        concepts = draw_concepts(drawn, here, self.rarity, repeat, 0.25 if kind == "text" else 0.0).flatten()
        side, prompt = batch.labels.shape[-1], model.config.prompt
        pixels = normalised(batch.pixels)
        found = features(model, pixels).float()
        clip = self._clip(found, batch.labels, here.float())
        variant = torch.multinomial(
            concepts.new_tensor([0.6, 0.2, 0.2], dtype=torch.float32), len(concepts), True, generator=drawn
        )
        text = self.words.variants[concepts, variant]
        each = found.repeat_interleave(repeat, 0)
        tokens = prefix(model, pixels)
        seen = dense_loss(self.token_head(tokens), batch.labels)
        shown = (torch.rand(len(concepts), generator=drawn, device=device) >= BLIND).float()
        embedding = encode(model, tokens.repeat_interleave(repeat, 0), each, text, shown)
        wanted = batch.labels.repeat_interleave(repeat, 0)
        with torch.autocast(device.type, enabled=False):
            maps = similarity_map(similarity(each.detach(), text), side)
            dense = dense_prompt(maps, side // 4, prompt.threshold, prompt.dense_value)
        prompts = draw_prompts(drawn, rng, kind, maps, wanted == concepts[:, None, None], prompt)
        with sized(model, side):
            logits, iou = decode(model, embedding, dense, prompts)
        target, weight = mask_target(wanted, concepts, logits.shape[-1])
        return mask_loss(logits[:, 0], iou, target, weight) + 0.5 * (clip + seen)
