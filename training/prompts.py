"""Prompts for training, drawn on the device: as in use from the similarity map, or as a user gives them."""

import numpy as np
import torch
from torch import Tensor

from cgsam_edge.export.config import PromptConfig
from training.model import Prompts

KINDS = {"clicks": 0.6, "box": 0.4}
"""Share of the steps that see each kind of prompt beside text, which all of them see."""


def draw_kind(rng: np.random.Generator) -> str:
    """Draw the kind of prompt that one step sees beside text: "clicks" or "box"."""
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
