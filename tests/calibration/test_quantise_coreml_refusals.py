"""What the quantiser of Core ML packages refuses, leaving the package as it was."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cgsam_edge.calibration.quantise import coreml as quantiser
from cgsam_edge.errors import ExportError, InputError
from cgsam_edge.export.graphs.build import Graph, Graphs, build_graphs
from cgsam_edge.export.graphs.layers import quantisable
from tests import tiny
from tests.calibration.coreml_packages import Written, files, samples

Refused = Callable[..., None]


@pytest.fixture
def refused(coreml_graphs: Graphs, coreml_written: Written) -> Refused:
    """Checks that the package is refused, and stays as it was with nothing beside it."""
    folder, written = coreml_written

    def check(error: type[Exception], match: str, graph: Graph = coreml_graphs.concept, **given: Any) -> None:
        before = files(folder)
        with pytest.raises(error, match=match):
            quantiser.quantise(graph, folder, given.pop("spec", written), **given)
        assert files(folder) == before

    return check


def test_bad_arguments(coreml_written: Written, refused: Refused) -> None:
    refused(InputError, "no kind 'int8' of quantisation; expected one of weights, w8a8", coreml_int8="int8")
    match = r"'concept' has no layer 'blocks\.9\.lin1' to keep.*has: first_up"
    refused(InputError, match, in_float=frozenset({"blocks.9.lin1"}))
    wide = replace(coreml_written[1], precision="fp32")
    refused(InputError, "only fp16 can be quantised, and this is fp32", spec=wide)


def test_bad_samples(coreml_graphs: Graphs, refused: Refused) -> None:
    refused(InputError, "no calibration sample to measure ranges with; give at least", coreml_int8="w8a8")
    (sample,) = samples(coreml_graphs.concept, range(1))
    short = {name: value for name, value in sample.items() if name != "text_row"}
    refused(InputError, "calibration sample 1 has the inputs", coreml_int8="w8a8", feeds=lambda: iter([sample, short]))
    thin = sample | {"tokens": sample["tokens"][:, :1]}
    refused(InputError, "sample 0 has the inputs .*expected", coreml_int8="w8a8", feeds=lambda: iter([thin]))


def test_a_range_that_is_not_finite_names_the_layer(coreml_graphs: Graphs, refused: Refused) -> None:
    sample, other = samples(coreml_graphs.concept, range(2))
    sample["adapter_hidden"][0, 0, 0, 0] = np.nan
    match = r"concept\.mlpackage: .* at the layer 'first_up', goes from nan to nan .* Keep 'first_up' in higher"
    refused(ExportError, match, coreml_int8="w8a8", feeds=lambda: iter([sample, other]))


@pytest.mark.parametrize(
    ("value", "match"), [(1e5, "cannot represent.* Keep 'first_up' in"), (np.nan, "NaN. The check")]
)
def test_a_weight_that_is_not_finite_names_the_layer(
    coreml_graphs: Graphs, refused: Refused, value: float, match: str
) -> None:
    weight = quantisable(coreml_graphs.concept)["first_up"].weight
    before = weight[0, 0].item()
    weight[0, 0] = value
    try:
        refused(ExportError, f"the layer 'first_up' of the graph 'concept' has .* {match}")
    finally:
        weight[0, 0] = before


def test_a_layer_that_is_not_in_the_package(refused: Refused) -> None:
    other = build_graphs(tiny.model(tiny.config(), seed=1)).concept
    refused(ExportError, r"no linear operator has the weight of the layer 'first_up', 32 × 8\. .*again", graph=other)


def test_what_coremltools_cannot_do_leaves_the_package(
    coreml_graphs: Graphs, coreml_copied: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its temporary files go to a folder that is not there, as when the disk is full."""
    folder, spec = coreml_copied
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))
    before = files(folder)
    with pytest.raises(
        ExportError, match=r"concept\.mlpackage: coremltools could not quantise it \(weights\): .*nowhere"
    ):
        quantiser.quantise(coreml_graphs.concept, folder, spec)
    assert files(folder) == before
    assert [path.name for path in (folder / "coreml").iterdir()] == ["concept.mlpackage"]
