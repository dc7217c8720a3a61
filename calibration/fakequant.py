"""Quantisation simulated in PyTorch: some layers round like an INT8 engine, which shows the cost of each one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from cgsam_edge.calibration.ranges import Layer, Range
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.layers import Convolution, convolutions, quantisable

WEIGHT_STEPS = 63
"""Largest quantised weight: seven bits, so that processors without VNNI do not overflow when they add in 16 bits."""


def round_input(values: Tensor, held: Range) -> Tensor:
    """Round to 256 steps over a range that contains 0, like QuantizeLinear with uint8."""
    scale = max((held.high - held.low) / 255, 1e-12)
    zero = round(-held.low / scale)
    return (values / scale).round_().add_(zero).clamp_(0, 255).sub_(zero).mul_(scale)


def round_weight(weight: Tensor) -> Tensor:
    """Round each output's part of a weight (out, in, …) to symmetric steps."""
    scale = weight.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True).clamp(min=1e-12) / WEIGHT_STEPS
    return (weight / scale).round_().mul_(scale)


@contextmanager
def quantised(
    graphs: Iterable[Graph],
    ranges: Mapping[Layer, Range],
    layers: Collection[Layer],
    weights: Mapping[Layer, Tensor] | None = None,
) -> Iterator[None]:
    """Make some layers round their inputs and weights within the block, or take `weights` that were rounded before.

    A weight is rounded while its layer runs, so that never all of them are held twice.
    """
    hooks, before, made = [], [], weights or {}
    chosen: dict[Layer, nn.Linear | Convolution] = {
        (g.name, name): layer for g in graphs for name, layer in (quantisable(g) | convolutions(g)).items()
    }
    try:
        for key in chosen.keys() & set(layers):
            layer = chosen[key]
            before.append((layer, layer.weight))
            if key in made:
                layer.weight = nn.Parameter(made[key], requires_grad=False)
            else:
                hooks.append(layer.register_forward_pre_hook(_rounding(ranges[key])))
                hooks.append(layer.register_forward_hook(_restoring(layer.weight), always_call=True))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer, weight in before:
            layer.weight = weight


def _rounding(held: Range) -> Any:
    def take(layer: nn.Linear | Convolution, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        layer.weight = nn.Parameter(round_weight(layer.weight.detach()), requires_grad=False)
        return (round_input(inputs[0], held), *inputs[1:])

    return take


def _restoring(weight: Tensor) -> Any:
    def restore(layer: nn.Linear | Convolution, *_: Any) -> None:
        layer.weight = weight

    return restore
