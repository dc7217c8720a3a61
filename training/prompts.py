"""Prompts for training: as in use from the similarity map, or as a user gives them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cgsam_edge.export.config import PromptConfig
from training.model import Prompts


def draw_kind(rng: np.random.Generator) -> str:
    """Draw the kind of prompt of one step: "text", "clicks" or "box"."""
    return str(rng.choice(["text", "clicks", "box"], p=[0.6, 0.28, 0.12]))


def _some(rng: np.random.Generator, mask: NDArray[np.bool_], count: int, otherwise: int) -> NDArray[np.int64]:
    """Draw flat pixel indices (count,) inside a mask, with replacement; ``otherwise`` where it is empty."""
    inside = np.flatnonzero(mask)
    return rng.choice(inside, count) if len(inside) else np.full(count, otherwise)


def _coordinates(flat: NDArray[np.int64], side: int) -> NDArray[np.float32]:
    """Return flat indices (...,) as (x, y) pixels (..., 2)."""
    return np.stack([flat % side, flat // side], axis=-1).astype(np.float32)


def text_points(rng: np.random.Generator, maps: Tensor, config: PromptConfig) -> Prompts:
    """Draw points where the similarity maps (n, 1, S, S) are above the threshold, as text-only use does."""
    flat = maps.detach().float().flatten(1).cpu().numpy()
    rows = [_some(rng, row > config.threshold, config.points, int(row.argmax())) for row in flat]
    points = torch.from_numpy(_coordinates(np.stack(rows), maps.shape[-1])).to(maps.device)
    return Prompts((points, torch.ones(points.shape[:2], device=maps.device)), None)


def clicks(rng: np.random.Generator, masks: Tensor) -> Prompts:
    """Draw 1 to 3 clicks inside the masks (n, S, S) bool, sometimes one outside."""
    inside, outside, side = int(rng.integers(1, 4)), int(rng.random() < 0.3), masks.shape[-1]
    flat = masks.flatten(1).cpu().numpy()
    rows = [np.concatenate([_some(rng, row, inside, 0), _some(rng, ~row, outside, 0)]) for row in flat]
    points = torch.from_numpy(_coordinates(np.stack(rows), side)).to(masks.device)
    labels = torch.tensor([1.0] * inside + [0.0] * outside, device=masks.device).expand(len(rows), -1)
    return Prompts((points, labels), None)


def boxes(rng: np.random.Generator, masks: Tensor) -> Prompts:
    """Draw boxes around the masks (n, S, S) bool, each edge off by up to 5 % of the side."""
    side, rows = masks.shape[-1], []
    for mask in masks.cpu().numpy():
        columns, lines = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        exact = [columns[0], lines[0], columns[-1], lines[-1]] if len(columns) else [0, 0, side - 1, side - 1]
        rows.append(np.clip(np.array(exact) + rng.uniform(-0.05, 0.05, 4) * side * rng.random(), 0, side - 1))
    return Prompts(None, torch.from_numpy(np.stack(rows).astype(np.float32)).to(masks.device))


def draw_prompts(rng: np.random.Generator, kind: str, maps: Tensor, masks: Tensor, config: PromptConfig) -> Prompts:
    """Draw prompts of one kind for similarity maps (n, 1, S, S) and ground truth (n, S, S) bool."""
    if kind == "text":
        return text_points(rng, maps, config)
    return clicks(rng, masks) if kind == "clicks" else boxes(rng, masks)
