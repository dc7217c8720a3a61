"""A quick evaluation during training, with text-only prompts, as in use."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.quality.scenes import CONCEPTS, IGNORE
from training.cache import Labelled
from training.data import PRESENT_PIXELS, generator_of
from training.model import DenseHead, decode, encode, pixels_of, prefix, suffix
from training.prompts import clicks, text_points
from training.text import Vocabulary


@dataclass(frozen=True)
class Score:
    """Quality of masks.

    Attributes:
        concept: IoU per concept, summed over the pictures that hold it; NaN where none does.
        pair: mean IoU over (picture, concept that it holds).
    """

    concept: NDArray[np.float64]
    pair: float

    @property
    def mean(self) -> float:
        """Class mIoU: the mean over the concepts that some picture holds."""
        return float(np.nanmean(self.concept))

    def __str__(self) -> str:
        """Return one line."""
        each = " ".join(f"{name}:{value:.2f}" for name, value in zip(CONCEPTS, self.concept, strict=True))
        return f"mIoU {self.mean:.3f} pair {self.pair:.3f} | {each}"


class _Counter:
    """Adds up intersections and unions."""

    def __init__(self) -> None:
        self.both, self.either = np.zeros(len(CONCEPTS)), np.zeros(len(CONCEPTS))
        self.pairs: list[float] = []

    def add(self, concept: int, guess: NDArray[np.bool_], label: NDArray[np.uint8]) -> None:
        """Count one mask (H, W) against labels (H, W)."""
        truth, known = label == concept, label < IGNORE
        both, either = int((guess & truth).sum()), int(((guess | truth) & known).sum())
        self.both[concept] += both
        self.either[concept] += either
        self.pairs.append(both / max(either, 1))

    def score(self) -> Score:
        """Return the metrics."""
        with np.errstate(invalid="ignore"):
            return Score(
                self.both / np.where(self.either > 0, self.either, np.nan), float(np.mean(self.pairs or [np.nan]))
            )


def _holds(label: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the concepts with enough labelled pixels."""
    counts = np.bincount(label.ravel(), minlength=len(CONCEPTS))[: len(CONCEPTS)]
    return np.flatnonzero(counts > PRESENT_PIXELS)


def _tensor(image: NDArray[np.uint8], model: ReferenceModel) -> Tensor:
    device = model.sam.image_encoder.pos_embed.device
    return pixels_of(torch.from_numpy(np.ascontiguousarray(image))[None].to(device), model.config.sam.image_size)


@torch.no_grad()
def masks(model: ReferenceModel, words: Vocabulary, image: NDArray[np.uint8], concepts: NDArray[np.int64], seed: int,
          truth: Tensor | None = None) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return mask logits (n, 1, m, m) and predicted IoU (n,) of some concepts in one picture (H, W, 3).

    With ``truth`` (n, S, S) bool, three clicks inside it stand for the points drawn from the similarity map.
    """
    pixels = _tensor(image, model)
    features = model.image_features(pixels).float().expand(len(concepts), -1, -1)
    text = words.features[torch.from_numpy(concepts).to(pixels.device)]
    embedding = encode(model, prefix(model, pixels).expand(len(concepts), -1, -1, -1), features, text)
    with torch.autocast(pixels.device.type, enabled=False):
        maps = model.map(features, text)
    generator = generator_of(pixels.device, seed, 0, 3)
    prompts = text_points(generator, maps, model.config.prompt) if truth is None else clicks(generator, truth, 3, 0)
    return decode(model, embedding, model.dense_prompt(maps), prompts)


def evaluate(model: ReferenceModel, words: Vocabulary, data: Labelled, limit: int) -> Score:
    """Segment the concepts that the first ``limit`` pictures hold, from their names alone."""
    counter = _Counter()
    for index in range(min(limit, len(data))):
        label = data.labels[index]
        concepts = _holds(label)
        if not len(concepts):
            continue
        logits, _ = masks(model, words, data.images[index], concepts, index)
        full = F.interpolate(logits.float(), label.shape, mode="bilinear", align_corners=False)[:, 0] > 0
        for concept, guess in zip(concepts, full.cpu().numpy(), strict=True):
            counter.add(int(concept), guess, label)
    return counter.score()


@torch.no_grad()
def evaluate_towers(
    model: ReferenceModel, head: DenseHead, words: Vocabulary, data: Labelled, limit: int
) -> tuple[Score, float]:
    """Score SAM's pretraining head, and how often CLIP's points lie inside their concept."""
    counter, hits = _Counter(), []
    for index in range(min(limit, len(data))):
        label = data.labels[index]
        concepts, pixels = _holds(label), _tensor(data.images[index], model)
        if not len(concepts):
            continue
        logits = head(model, suffix(model, prefix(model, pixels), None, None)).float()
        best = F.interpolate(logits, label.shape, mode="bilinear", align_corners=False)[0].argmax(0).cpu().numpy()
        features = model.image_features(pixels).float().expand(len(concepts), -1, -1)
        maps = model.map(features, words.features[torch.from_numpy(concepts).to(pixels.device)])
        small = (
            F.interpolate(maps, label.shape, mode="bilinear")[:, 0].float().cpu().numpy()
            > model.config.prompt.threshold
        )
        for concept, inside in zip(concepts, small, strict=True):
            counter.add(int(concept), best == concept, label)
            known = inside & (label < IGNORE)
            hits.append(float((label[known] == concept).mean()) if known.any() else 0.0)
    return counter.score(), float(np.mean(hits or [np.nan]))
