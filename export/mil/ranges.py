"""Lowest and highest values of a package's intermediate results on samples, measured by the evaluator."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cgsam_edge.errors import InputError
from cgsam_edge.export.mil.evaluator import Evaluator, Output, Step

Feeds = Callable[[], Iterator[Mapping[str, NDArray[np.float32]]]]
"""Function that yields a graph's inputs by name, one sample at a time; unknown inputs are ignored."""


def no_feeds() -> Iterator[Mapping[str, NDArray[np.float32]]]:
    """Yield no samples."""
    return iter(())


def measure_ranges(package: Path, feeds: Feeds, names: Collection[str]) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest value of each named result over all samples; NaN if any value was NaN.

    Only these numbers are stored, so memory does not grow with the number of samples.

    Args:
        package: the ``.mlpackage``.
        feeds: function that yields the samples.
        names: names of values in the program; those that no operator produces are not in the result.

    Raises:
        InputError: there is no sample, or one does not fit the package.
        BackendError: the package cannot be computed.
    """
    evaluator, found, count = Evaluator(package), dict[str, tuple[float, float]](), 0

    def watch(_: Step, output: Output, value: Tensor) -> None:
        if output.name in names:
            low, high = (end.item() for end in torch.aminmax(value))
            before = found.get(output.name, (low, high))
            found[output.name] = (float(np.minimum(before[0], low)), float(np.maximum(before[1], high)))

    for sample in feeds():
        evaluator.run(_inputs(sample, evaluator.shapes, count, package), watch)
        count += 1
    if not count:
        raise InputError(f"{package.name}: no calibration sample to measure ranges with; give at least one.")
    return found


def _inputs(
    sample: Mapping[str, NDArray[np.float32]], shapes: Mapping[str, tuple[int, ...]], index: int, package: Path
) -> dict[str, Tensor]:
    got = {name: np.shape(sample[name]) for name in shapes if name in sample}
    if got != shapes:
        raise InputError(f"{package.name}: calibration sample {index} has the inputs {got}, expected {dict(shapes)}.")
    return {name: torch.from_numpy(np.array(sample[name], np.float32, order="C")) for name in shapes}
