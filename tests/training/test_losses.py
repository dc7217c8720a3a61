"""The losses of training: what they prefer, on masks made here."""

import pytest
import torch

from training.losses import mask_iou, mask_loss, mask_target


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


def test_a_mask_counts_by_its_importance() -> None:
    labels = torch.zeros(2, 8, 8, dtype=torch.long)
    labels[:, :4] = 3
    target, weight = mask_target(labels, torch.tensor([3, 3]), 4)
    right = torch.where(target > 0.5, 9.0, -9.0)
    logits, iou = torch.cat([right[:1], -right[:1]]), torch.tensor([1.0, 0.0])  # one is right, one is wrong
    assert mask_iou(logits, target, weight).tolist() == [1, 0]
    only = [float(mask_loss(logits, iou, target, weight, torch.tensor(of))) for of in ([2.0, 0.0], [0.0, 2.0])]
    assert only[0] < 0.02
    assert sum(only) / 2 == pytest.approx(float(mask_loss(logits, iou, target, weight)), rel=1e-5)


def test_target_of_a_thin_thing_is_raised_and_that_of_an_edge_is_not() -> None:
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    labels[:, :, 7:9] = 2  # half a cell of each of two columns
    labels[:, :, 18:] = 3  # its edge covers half a cell too, beside whole ones
    target, _ = mask_target(labels.expand(2, -1, -1), torch.tensor([2, 3]), 8)
    assert target[0, 0].tolist() == [0, 0.375, 0.375, 0, 0, 0, 0, 0]
    assert target[1, 0].tolist() == [0, 0, 0, 0, 0.5, 1, 1, 1]
