"""In what PyTorch computes while ranges are observed: BF16 where the processor multiplies in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


def multiplies_in_bfloat16() -> bool:
    """Return whether the processor has instructions for products in BF16; without, PyTorch is slower in it."""
    return any(getattr(torch.cpu, name, lambda: False)() for name in _INSTRUCTIONS)


_INSTRUCTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
"""PyTorch has no public name for these; where one is missing it computes in float32."""


@contextlib.contextmanager
def arithmetic(*, reduced: bool) -> Iterator[None]:
    """Let products be computed in BF16 meanwhile, if ``reduced`` and the processor has it, else in float32.

    What BF16 rounds is far below the steps of INT8, so that ranges are the same.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced and multiplies_in_bfloat16()):
        yield
