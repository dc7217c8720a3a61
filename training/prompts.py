"""Prompts for training, drawn on the device: as in use from the similarity map, or as a user gives them."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cgsam_edge.export.config import PromptConfig
from training.model import Prompts

KINDS = {"box": 0.7, "clicks": 0.3}
"""Share of the steps that see each kind of prompt beside text and clicks that correct its mask, which all of them see."""

MOST_CORRECTIONS = 3
"""Most clicks that correct a mask, one after the other, in a step."""

DEEPEST = 0.7
"""Share of the corrections in the middle of the thickest error; the others are anywhere in an error."""

LAYERS = 12
"""Cells from the edge of an error beyond which the middle is not looked for."""


def draw_kind(rng: np.random.Generator) -> str:
    """Draw the third kind of prompt of a step, one of `KINDS`."""
    return str(rng.choice(list(KINDS), p=list(KINDS.values())))


def _coordinates(flat: Tensor, side: int) -> Tensor:
    """Return flat indices (...,) as float32 (x, y) pixels (..., 2)."""
    return torch.stack([flat % side, flat // side], dim=-1).float()


def _some(generator: torch.Generator, masks: Tensor, count: int, otherwise: Tensor) -> Tensor:
    """Draw pixels (n, count) of masks (n, pixels), each once; where there are too few, the highest of ``otherwise``."""
    chance = torch.rand(masks.shape, generator=generator, device=masks.device)
    return torch.where(masks, 2 + chance, otherwise).topk(count).indices


def text_points(generator: torch.Generator, maps: Tensor, config: PromptConfig) -> Prompts:
    """Draw points where the similarity maps (n, 1, S, S) are above the threshold, as text-only use does."""
    flat = maps.detach().float().flatten(1)
    points = _coordinates(_some(generator, flat > config.threshold, config.points, flat), maps.shape[-1])
    return Prompts((points, torch.ones(points.shape[:2], device=maps.device)), None)


def clicks(generator: torch.Generator, masks: Tensor, inside: int, outside: int) -> Prompts:
    """Draw clicks inside and outside masks (n, S, S) bool; in an empty mask, anywhere."""
    flat, side = masks.flatten(1), masks.shape[-1]
    anywhere = torch.rand(flat.shape, generator=generator, device=flat.device)
    drawn = [_some(generator, flat, inside, anywhere)]
    if outside:
        drawn.append(_some(generator, ~flat, outside, anywhere))
    labels = torch.tensor([1.0] * inside + [0.0] * outside, device=masks.device).expand(len(flat), -1)
    return Prompts((_coordinates(torch.cat(drawn, dim=1), side), labels), None)


def correct(
    generator: torch.Generator, truth: Tensor, guess: Tensor, known: Tensor, side: int, before: Prompts | None
) -> Prompts:
    """Add a click to each prompt, as a user who corrects a mask does: in the middle of its thickest error, or in any.

    Where a mask has no error, the click confirms it.

    Args:
        generator: on the masks' device.
        truth: cells of the concept, bool (n, m, m).
        guess: cells of the mask so far, bool (n, m, m).
        known: cells with labels, bool (n, m, m).
        side: of the model's pixels.
        before: earlier clicks, or None.
    """
    n, m = len(truth), truth.shape[-1]
    usable = torch.stack([truth & known, ~truth & known], 1)  # for clicks inside and outside
    wrong = usable & torch.stack([~guess, guess], 1)
    chance = torch.rand(wrong.shape, generator=generator, device=wrong.device)
    thickest = torch.rand((n, 1, 1, 1), generator=generator, device=wrong.device) < DEEPEST
    depth = torch.where(thickest, depth_of(wrong), wrong.float())
    flat = (depth + usable + chance * 0.9).flatten(1).argmax(1, keepdim=True)
    cell, labels = _coordinates(flat % (m * m), m), (flat < m * m).float()
    within = torch.rand(cell.shape, generator=generator, device=wrong.device)
    points = (cell + within) * (side / m)
    if before is not None and before.points is not None:
        points, labels = torch.cat([before.points[0], points], 1), torch.cat([before.points[1], labels], 1)
    return Prompts((points, labels), None)


def depth_of(areas: Tensor) -> Tensor:
    """Return how many layers of cells lie between each cell of bool areas (n, k, m, m) and their edges; 0 outside."""
    inside = areas.float()
    depth = inside
    for _ in range(LAYERS):
        inside = 1 - F.max_pool2d(F.pad(1 - inside, (1, 1, 1, 1), value=1.0), 3, 1)
        depth = depth + inside
    return depth


def boxes(generator: torch.Generator, masks: Tensor) -> Prompts:
    """Draw boxes around masks (n, S, S) bool, each edge off by up to 5 % of the side; the whole where one is empty."""
    side = masks.shape[-1]
    columns, rows = masks.any(dim=1).float(), masks.any(dim=2).float()
    first = torch.stack([columns.argmax(1), rows.argmax(1)], dim=1)
    last = side - 1 - torch.stack([columns.flip(1).argmax(1), rows.flip(1).argmax(1)], dim=1)
    exact = torch.cat([first, last], dim=1).float()
    off = (torch.rand(exact.shape, generator=generator, device=masks.device) - 0.5) * 0.1 * side
    off = off * torch.rand((len(exact), 1), generator=generator, device=masks.device)
    return Prompts(None, (exact + off).clamp(0, side - 1))


def draw_prompts(
    generator: torch.Generator, rng: np.random.Generator, kind: str, maps: Tensor, masks: Tensor, config: PromptConfig
) -> Prompts:
    """Draw prompts of one kind for similarity maps (n, 1, S, S) and ground truth (n, S, S) bool.

    ``rng`` draws what all prompts of a step share, so that nothing waits for the device.
    """
    if kind == "text":
        return text_points(generator, maps, config)
    if kind == "box":
        return boxes(generator, masks)
    return clicks(generator, masks, int(rng.integers(1, 4)), int(rng.random() < 0.3))
