"""The arithmetic of a step on this machine, and the number of its pictures."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

log = logging.getLogger("training")

PICTURES: Mapping[str, Mapping[str, int]] = {
    "cpu": {"coarse": 16, "dense": 6, "half": 8, "joint": 4},
    "cuda": {"coarse": 192, "dense": 64, "half": 128, "joint": 48},
}
"""Pictures per step of each stage."""

SMALL = ("coarse", "half")
"""Stages on pictures of half the side, which cost a quarter."""

JOINT = ("half", "joint")
"""Stages that train the whole model, prompt by prompt."""

FASTEST_RATE = 4.0
"""The most by which larger steps raise the learning rate."""

WORTH = 1.15
"""bfloat16 changes results slightly, so on a processor it is used only if it is faster by this factor."""


def pictures_of(device: torch.device, batch: float = 1.0) -> dict[str, int]:
    """Return how many pictures a step takes of each stage, times ``batch``."""
    table = PICTURES["cuda" if device.type == "cuda" else "cpu"]
    return {stage: max(1, round(count * batch)) for stage, count in table.items()}


def rate_of(pictures: Mapping[str, int]) -> float:
    """Return the factor of the learning rate for steps of another size: the root of their ratio to a processor's."""
    return min(FASTEST_RATE, math.sqrt(pictures["joint"] / PICTURES["cpu"]["joint"]))


def mixed(device: torch.device, *, reduced: bool) -> AbstractContextManager[Any]:
    """Return a context that computes in bfloat16, if ``reduced``, where it is safe."""
    return torch.autocast(device.type, torch.bfloat16, enabled=reduced)


def reduced_is_faster(device: torch.device, step: Callable[[bool], object]) -> bool:
    """Return whether to compute steps in bfloat16: always on a GPU, elsewhere if a step is then faster.

    Args:
        device: where the model is.
        step: takes a step without changing the model, in bfloat16 or not.
    """
    if device.type != "cpu":
        return True
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False  # without the instructions it is far slower
    seconds = {}
    for reduced in (False, True):
        step(reduced)  # the first one prepares
        start = time.perf_counter()
        step(reduced)
        seconds[reduced] = time.perf_counter() - start
    faster = seconds[False] > WORTH * seconds[True]
    log.info(
        "a step takes %.2f s in float32, %.2f s in bfloat16: %s",
        seconds[False],
        seconds[True],
        "bfloat16" if faster else "float32",
    )
    return faster
