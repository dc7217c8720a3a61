"""coremltools' compression of chosen linear operators of a package."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.export.mil.tools import coremltools
from cgsam_edge.runtimes import telemetry

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLLOWED = {"leaky_relu", "tanh", "scaled_tanh", "sigmoid", "hard_sigmoid", "relu", "relu6"}
"""Operators whose output coremltools quantises instead of that of the preceding linear operator."""

LEAST_SCALE = 2.0**-14
"""Smallest scale of activations: a smaller one is subnormal or zero in half precision."""

Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest value by the name of a value."""


def small_activations(model: Any, operators: Collection[Any], ranges: Ranges) -> Any:
    """Return the model with 8-bit values, symmetric about zero, into and out of linear operators.

    Args:
        model: coremltools' model, for iOS 17 or later.
        operators: as `load_function` gives them.
        ranges: of their inputs ``x``, their outputs, and those of `FOLLOWED` after them.
    """
    optimize = coremltools().optimize.coreml
    config = optimize.OpLinearQuantizerConfig(mode="linear_symmetric")
    with _statistics({name: _wide_enough(*ends) for name, ends in ranges.items()}):
        return optimize.linear_quantize_activations(model, _only({op.name for op in operators}, config), [])


def small_weights(model: Any, operators: Collection[Any], palette_bits: int | None = None) -> Any:
    """Return the model with weights of 8 bits and a scale an output channel, or from a palette of 2ⁿ values a layer.

    Args:
        model: coremltools' model.
        operators: as `load_function` gives them.
        palette_bits: n; None for 8-bit numbers.
    """
    optimize = coremltools().optimize.coreml
    # By the weight's name, not the operator's: that would take in its bias.
    weights = {op.inputs["weight"].op.name for op in operators}
    if palette_bits:
        palette = optimize.OpPalettizerConfig("custom", lut_function=_palette_of(palette_bits), weight_threshold=0)
        return optimize.palettize_weights(model, _only(weights, palette))
    config = optimize.OpLinearQuantizerConfig("linear_symmetric", granularity="per_channel", weight_threshold=0)
    return optimize.linear_quantize_weights(model, _only(weights, config))


def _wide_enough(low: float, high: float) -> tuple[float, float]:
    """Return a range whose scale half precision can represent, even if all values were zero."""
    least = 127 * LEAST_SCALE
    return (low, high) if max(-low, high) >= least else (low, least)


def _only(names: set[str], config: Any) -> Any:
    return coremltools().optimize.coreml.OptimizationConfig(op_name_configs=dict.fromkeys(sorted(names), config))


@contextmanager
def _statistics(ranges: Ranges) -> Iterator[None]:
    """Make coremltools use these ranges; its own function would run the model, which needs a Mac."""
    module = coremltools().optimize.coreml._post_training_quantization  # noqa: SLF001 — there is no public way
    own = module._get_activation_calibration_stats  # noqa: SLF001
    known = {name: {"rmin": low, "rmax": high} for name, (low, high) in ranges.items()}
    module._get_activation_calibration_stats = lambda *_: known  # noqa: SLF001
    try:
        yield
    finally:
        module._get_activation_calibration_stats = own  # noqa: SLF001


def _palette_of(bits: int) -> Any:
    """Return the function from a weight to its palette and indices: coremltools' exact k-means in one dimension.

    Its mode "kmeans" would use scikit-learn's for small layers, whose sums depend on the number of threads.
    """
    coremltools()
    module = telemetry.load("coremltools.models.neural_network.quantization_utils")
    cluster = module._get_kmeans_lookup_table_and_weight  # noqa: SLF001 — there is no public way

    def palette(weight: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        table, indices = cluster(bits, weight, force_kmeans1d=True)
        return table.astype(weight.dtype), indices.astype(np.uint8)

    return palette
