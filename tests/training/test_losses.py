"""The losses of training: what they prefer, on masks made here."""

import torch

from training.losses import mask_loss, mask_target


def test_mask_loss_prefers_the_right_mask() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[:, :4] = 3
    target, weight = mask_target(labels, torch.tensor([3]), 4)
    right = torch.where(target > 0.5, 9.0, -9.0)
    perfect = mask_loss(right, torch.ones(1), target, weight)
    assert float(perfect) < 0.02
    assert float(mask_loss(-right, torch.ones(1), target, weight)) > 5


def test_mask_loss_of_an_absent_concept_wants_nothing() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    target, weight = mask_target(labels, torch.tensor([5]), 4)
    empty, full = torch.full((1, 4, 4), -9.0), torch.full((1, 4, 4), 9.0)
    assert float(mask_loss(empty, torch.zeros(1), target, weight)) < 0.01
    assert float(mask_loss(full, torch.zeros(1), target, weight)) > 5
