"""Weights of four bits in blocks with a scale each, rounded so that a layer's output moves least (GPTQ).

GPTQ (Frantar et al. 2022) rounds the columns of a weight one by one. The columns that are not yet rounded make up
for what rounding a column changes in the output, for inputs like those of calibration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.linalg import LinAlgError
from numpy.typing import NDArray
from torch import Tensor

LARGEST_BLOCK, LEAST_BLOCK = 64, 16
"""Inputs that share a scale: at 64 a weight takes 4.25 bits, its scale included; engines take 16 or more."""

_DAMPING = 0.01
"""Share of the mean of the diagonal that is added to it, so that the products can be inverted."""

_TRIES = 4
"""How often the damping is raised tenfold where rounding keeps the products from being inverted."""

_STEPS = 7.5
"""Values are -8 to 7 steps."""

_CUTS = torch.linspace(0.65, 1.05, 9)
"""Of the greatest magnitude in a block, what is tried as the end of its scale."""


@dataclass(frozen=True)
class FourBits:
    """A weight (out, in) in four bits.

    Attributes:
        values: int8, from -8 to 7, (out, blocks, inputs of a block).
        scales: float16, (out, blocks).
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float16]

    @property
    def weight(self) -> NDArray[np.float32]:
        """What engines compute with, float32 (out, in)."""
        wide = self.values.astype(np.float32) * self.scales.astype(np.float32)[:, :, None]
        return wide.reshape(len(wide), -1)

    @property
    def packed(self) -> NDArray[np.uint8]:
        """Two values in a byte, the earlier one low, each in two's complement, (out, blocks, bytes)."""
        low, high = self.values[..., ::2] & 0xF, self.values[..., 1::2] & 0xF
        return (low | (high << 4)).astype(np.uint8)


def block_of(inputs: int) -> int | None:
    """Return how many inputs of a layer share a scale: a power of two that divides them; None where it is too small."""
    block = math.gcd(inputs, LARGEST_BLOCK)
    return block if block >= LEAST_BLOCK else None


@torch.no_grad()
def in_four_bits(weight: Tensor, products: Tensor) -> FourBits:
    """Round a weight.

    Args:
        weight: (out, in), with inputs that `block_of` has a block for.
        products: the sum of products of the layer's inputs with each other, (in, in).

    Raises:
        LinAlgError: the products cannot be inverted, however they are damped.
    """
    block = block_of(weight.shape[1])
    assert block is not None
    left, inverse = weight.detach().double().clone(), _inverse(products)
    values, scales = [], []
    for start in range(0, weight.shape[1], block):
        part = slice(start, start + block)
        scale = _scale(left[:, part])
        rounded, errors = _round(left[:, part], scale, inverse[part, part])
        left[:, start + block :] -= errors @ inverse[part, start + block :]
        values.append(rounded)
        scales.append(scale)
    return FourBits(
        torch.stack(values, dim=1).to(torch.int8).numpy(), torch.cat(scales, dim=1).to(torch.float16).numpy()
    )


def _round(columns: Tensor, scale: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Round the columns of a block (out, block): what they become in steps, and what the others are to make up for."""
    left, values, errors = columns.clone(), torch.empty_like(columns), torch.empty_like(columns)
    for i in range(columns.shape[1]):
        values[:, i] = (left[:, i] / scale[:, 0]).round().clamp(-8, 7)
        errors[:, i] = (left[:, i] - values[:, i] * scale[:, 0]) / inverse[i, i]
        left[:, i + 1 :] -= errors[:, i, None] * inverse[i, None, i + 1 :]
    return values, errors


def _scale(columns: Tensor) -> Tensor:
    """Return the scale of each row of a block (out, block) that rounds it with the least squared error: (out, 1)."""
    peak = columns.abs().amax(dim=1, keepdim=True).clamp(min=1e-4)  # above the least number of half precision
    scales = (peak * _CUTS / _STEPS).half().double()  # (out, cuts)
    steps = columns[:, None] / scales[:, :, None]
    errors = ((steps.round().clamp(-8, 7) - steps) * scales[:, :, None]).square().sum(dim=2)
    return scales.gather(1, errors.argmin(dim=1, keepdim=True))


def _inverse(products: Tensor) -> Tensor:
    """Return the upper Cholesky factor of the inverse of the damped products; inputs that were always 0 stand alone."""
    held = products.double().clone()
    diagonal = held.diagonal()
    diagonal[diagonal <= 0] = 1
    step = _DAMPING * diagonal.mean().item()
    for _ in range(_TRIES):
        diagonal += step
        factor, failed = torch.linalg.cholesky_ex(held)
        if not failed:
            made: Tensor
            made, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(factor), upper=True)
        if not failed:
            return made
        step *= 10
    raise LinAlgError(f"the products of {len(held)} inputs cannot be inverted after {_TRIES} dampings")
