"""The training stand-in's schedule, and how it draws concepts."""

from __future__ import annotations

import pytest
import torch

from cgsam_edge.quality.scenes import CONCEPTS
from training.data import draw_concepts, generator_of
from training.schedule import STAGES, Schedule


def test_schedule_by_the_clock() -> None:
    now = [0.0]
    schedule = Schedule((0.3, 0.2, 0.0, 0.5), seconds=100, done=0.5, clock=lambda: now[0])
    none = dict.fromkeys(STAGES, 0)
    assert (schedule.progress(none), schedule.stage(schedule.progress(none))) == (0.5, "joint")
    now[0] = 50.0
    assert schedule.progress(none) == pytest.approx(0.75)
    now[0] = 200.0
    assert schedule.progress(none) == 1.0
    assert schedule.rate(1.0) < 0.02 * schedule.peak < schedule.rate(0.1)


def test_schedule_skips_empty_stages() -> None:
    schedule = Schedule((0.0, 0.5, 0.0, 0.5), steps=(0, 4, 0, 4))
    assert schedule.stage(schedule.progress(dict.fromkeys(STAGES, 0))) == "dense"


def test_concepts_are_drawn_as_asked() -> None:
    generator, rarity = generator_of(torch.device("cpu"), 0, 0, 0), torch.ones(len(CONCEPTS))
    present = torch.zeros(2, len(CONCEPTS), dtype=torch.bool)
    present[:, [1, 4, 7, 8]] = True
    rows = draw_concepts(generator, present, rarity, 3, absent=0.0)
    assert set(rows.flatten().tolist()) <= {1, 4, 7, 8}
    assert all(len(set(row)) == 3 for row in rows.tolist())
    assert not set(draw_concepts(generator, present, rarity, 3, absent=1.0).flatten().tolist()) & {1, 4, 7, 8}


def test_rare_concepts_are_drawn_more_often() -> None:
    generator, rarity = generator_of(torch.device("cpu"), 0, 0, 0), torch.ones(len(CONCEPTS))
    rarity[4] = 3.0
    present = torch.zeros(3000, len(CONCEPTS), dtype=torch.bool)
    present[:, [1, 4]] = True
    rows = draw_concepts(generator, present, rarity, 1, absent=0.0)
    assert (rows == 4).float().mean().item() == pytest.approx(0.75, abs=0.03)
