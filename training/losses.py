"""The losses of training, stage by stage."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cgsam_edge.quality.scenes import CONCEPTS, IGNORE

WEIGHTS = (0.5, 0.7, 2.0, 0.6, 0.9, 0.9, 2.0, 1.4, 1.0, 2.0, 1.8)
"""Of each concept in losses over all concepts: roughly one over the root of how many pixels it covers."""

THIN = 1.5
"""Factor of the targets where no whole cell of the concept is near.

A pole of three pixels covers no cell of four pixels by more than three quarters, and often two by less than half each:
a perfect mask of such shares has an IoU of 0.50 on CamVid's poles, of 0.67 with this factor (1.75: 0.66, 2: 0.62).
"""


def concept_weights(device: torch.device) -> Tensor:
    """Return ``WEIGHTS`` as a tensor (concepts,)."""
    return torch.tensor(WEIGHTS, device=device)


def shares(labels: Tensor, cell: int) -> Tensor:
    """Return how much of each cell x cell square each concept covers: (B, S, S) to (B, concepts, S/cell, S/cell)."""
    onehot = F.one_hot(labels, IGNORE + 1)[..., : len(CONCEPTS)].permute(0, 3, 1, 2).float()
    return F.avg_pool2d(onehot, cell)


def dense_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Weighted cross-entropy of logits (B, concepts, m, m) against labels (B, S, S), every S/m-th pixel of them."""
    step = labels.shape[-1] // logits.shape[-1]
    sparse = labels[:, step // 2 :: step, step // 2 :: step]
    return F.cross_entropy(logits.float(), sparse, weight=concept_weights(logits.device), ignore_index=IGNORE)


def patch_loss(features: Tensor, text: Tensor, labels: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Tie each patch to the concepts it shows, through the similarity that use computes.

    Two terms: which concept a patch is (cross-entropy over concepts), and where a concept is (sigmoid per pair, which
    keeps a concept's map comparable between patches: use normalises over these).

    Args:
        features: F (B, 1 + M, D).
        text: t of all concepts (concepts, D).
        labels: (B, S, S).
        scale, bias: learnt scalars of the sigmoid, log of the scale.
    """
    side = round((features.shape[1] - 1) ** 0.5)
    every = max(1, labels.shape[-1] // (side * 8))
    target = shares(labels[:, every // 2 :: every, every // 2 :: every], labels.shape[-1] // every // side)
    target = target.flatten(2).transpose(1, 2)
    scores = features[:, 1:].float() @ text.T * scale.exp()
    weights = concept_weights(scores.device)
    which = -(target * weights * scores.log_softmax(dim=-1)).sum(-1).mean()
    labelled = target.sum(-1, keepdim=True)
    where = F.binary_cross_entropy_with_logits(
        scores - bias, target, weight=labelled * (1 + 2 * target), reduction="mean"
    )
    return which + 2 * where


def picture_loss(class_token: Tensor, text: Tensor, present: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Tie a picture's class embedding (B, D) to the caption that lists its concepts, ``present`` (B, concepts) in {0, 1}."""
    scores = F.normalize(class_token.float(), dim=-1) @ text.T * scale.exp() - bias
    return F.binary_cross_entropy_with_logits(scores, present)


def mask_loss(logits: Tensor, iou: Tensor, target: Tensor, weight: Tensor, importance: Tensor | None = None) -> Tensor:
    """BCE + Dice + IoU prediction, as in the paper.

    Args:
        logits: (n, m, m).
        iou: predicted IoU (n,).
        target: share of the concept in each pixel of the mask (n, m, m), all zero where it is absent.
        weight: share of labelled pixels (n, m, m).
        importance: how much each mask counts (n,), 1 on average; None for 1.
    """
    logits = logits.float()
    bce = F.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="none").mean(dim=(1, 2))
    chance = logits.sigmoid() * weight
    overlap = (chance * target).sum(dim=(1, 2))
    total = chance.sum(dim=(1, 2)) + target.sum(dim=(1, 2))
    here = target.sum(dim=(1, 2)) > 0
    dice = torch.where(here, 1 - (2 * overlap + 1) / (total + 1), chance.mean(dim=(1, 2)))
    masks = 3 * bce + dice
    masks = masks if importance is None else masks * importance
    return masks.mean() + F.mse_loss(iou.float(), mask_iou(logits, target, weight))


@torch.no_grad()
def mask_iou(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the IoU (n,) of masks, by the arguments of `mask_loss`."""
    truth, guess = target > 0.5, (logits > 0) & (weight > 0.5)
    union = (truth | guess).sum(dim=(1, 2))
    return (truth & guess).sum(dim=(1, 2)) / union.clamp(min=1)


def mask_target(labels: Tensor, concepts: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return targets and weights (n, side, side) of ``mask_loss`` from labels (n, S, S) and concepts (n,).

    A target is the share of a cell that the concept covers, more where the concept is thin, see `THIN`.
    """
    cell = labels.shape[-1] // side
    share = F.avg_pool2d((labels == concepts[:, None, None]).float(), cell)
    thin = F.max_pool2d(share, 3, 1, 1) < 1
    target = torch.where(thin, share * THIN, share).clamp(max=1)
    return target, F.avg_pool2d((labels != IGNORE).float(), cell)
