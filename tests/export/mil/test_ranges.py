"""Ranges that the evaluator measures."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from coremltools.converters.mil import Builder

from cgsam_edge.export.mil.ranges import measure_ranges
from tests.export.mil.packages import write

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sample = Mapping[str, NDArray[np.float32]]


def test_measuring_holds_one_sample_at_a_time(tmp_path: Path) -> None:
    package = write(tmp_path / "one.mlpackage", {"x": (3,)}, lambda x: Builder.mul(x=x, y=2.0, name="twice"))
    alive: list[weakref.ref[NDArray[np.float32]]] = []

    def many() -> Iterator[Sample]:
        for i in range(20):
            assert sum(one() is not None for one in alive) <= 1
            array = np.array([i, -i, 0], np.float32)
            alive.append(weakref.ref(array))
            yield {"x": array}
            del array

    assert measure_ranges(package, many, {"twice", "nothing"}) == {"twice": (-38.0, 38.0)}
