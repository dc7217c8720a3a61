"""Where the prompts of training lie."""

import pytest
import torch

from cgsam_edge.export.config import PromptConfig
from training.augment import NEAR, NEAREST, WHOLE, windows
from training.data import generator_of
from training.prompts import boxes, clicks, correct, depth_of, text_points


def test_prompts_lie_where_they_should() -> None:
    generator, masks = generator_of(torch.device("cpu"), 0, 0, 0), torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0, 4:9, 10:20] = True
    masks[1, 31, 31] = True
    points, labels = clicks(generator, masks, 1, 2).points or (torch.zeros(0), torch.zeros(0))
    at = points.long()
    hit = masks[torch.arange(2)[:, None], at[..., 1], at[..., 0]]
    assert torch.equal(hit, labels > 0)
    found = boxes(generator, masks).boxes
    assert found is not None
    assert torch.allclose(found[0], torch.tensor([10.0, 4, 19, 8]), atol=1.7)
    maps = torch.rand(1, 1, 32, 32, generator=generator) * 0.5
    maps[0, 0, 3, 7], maps[0, 0, 5, 1] = 0.9, 0.95
    drawn = text_points(generator, maps, PromptConfig()).points
    assert drawn is not None
    assert {(7, 3), (1, 5)} <= set(map(tuple, drawn[0][0].int().tolist()))
    assert len(set(map(tuple, drawn[0][0].int().tolist()))) == PromptConfig().points


def test_corrections_lie_on_errors_and_say_which() -> None:
    generator = generator_of(torch.device("cpu"), 0, 0, 0)
    truth, guess = torch.zeros(3, 32, 32, dtype=torch.bool), torch.zeros(3, 32, 32, dtype=torch.bool)
    truth[:, 2:10, 2:10] = True
    guess[0, 2:10, 2:9] = True  # lacks one column of cells
    guess[1] = truth[1]
    guess[1, 20:29, 20:29] = True  # and has an area too much
    guess[2] = truth[2]  # is right
    known = torch.ones_like(truth)
    known[0, :, 9] = False  # nobody knows about that column
    known[0, 3, 9] = True
    made = None
    for count in range(1, 4):
        made = correct(generator, truth, guess, known, 128, made)
        assert made.points is not None
        assert made.points[0].shape == (3, count, 2)
    assert made is not None
    assert made.points is not None
    points, labels = made.points
    cells = (points / 4).long()
    assert labels[:2].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert (cells[0] == torch.tensor([9, 3])).all()
    assert ((cells[1] >= 20) & (cells[1] < 29)).all()
    assert torch.equal(truth[2][cells[2, :, 1], cells[2, :, 0]], labels[2] > 0)


def test_the_middle_of_an_error_is_its_deepest_place() -> None:
    areas = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    areas[0, 0, 0:7, 3:10] = True
    depth = depth_of(areas)[0, 0]
    assert depth.argmax().item() == 3 * 16 + 6
    assert depth[3, 6] == 4
    assert depth[0, 6] == 1  # the picture's edge counts as one
    assert not depth[areas[0, 0].logical_not()].any()


def test_some_windows_are_near_and_some_are_whole() -> None:
    maps = windows(generator_of(torch.device("cpu"), 0, 0, 0), 4000, 0.5, 1.0)
    share = (maps[:, 0, 0].abs() * maps[:, 1, 1]).sqrt()
    assert share.min() > 0.95 * NEAREST
    assert (share < 0.5).float().mean() == pytest.approx(NEAR, abs=0.03)
    assert (share == 1).float().mean() == pytest.approx(WHOLE, abs=0.03)
