"""Least and greatest values that a package's intermediate results take on samples, by the evaluator."""

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
"""Gives a graph's inputs by name, a sample at a time; what the graph does not take is left aside."""


def no_feeds() -> Iterator[Mapping[str, NDArray[np.float32]]]:
    """Give no samples."""
    return iter(())


def measure_ranges(package: Path, feeds: Feeds, names: Collection[str]) -> dict[str, tuple[float, float]]:
    """Return the least and greatest value of each named result over all samples; NaN where it ever was NaN.

    Only these numbers are kept, so that memory does not grow with the number of samples.

    Args:
        package: the ``.mlpackage``.
        feeds: gives the samples.
        names: of values in the program; one that no operator makes is not in the answer.

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
        raise InputError(f"{package.name}: there is no calibration sample to measure ranges with; give at least one.")
    return found


def _inputs(
    sample: Mapping[str, NDArray[np.float32]], shapes: Mapping[str, tuple[int, ...]], index: int, package: Path
) -> dict[str, Tensor]:
    got = {name: np.shape(sample[name]) for name in shapes if name in sample}
    if got != shapes:
        raise InputError(f"{package.name}: calibration sample {index} has the inputs {got}, expected {dict(shapes)}.")
    return {name: torch.from_numpy(np.array(sample[name], np.float32, order="C")) for name in shapes}
