"""The tiny model's graphs for Core ML, and its graph ``concept`` in half precision."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cgsam_edge.export.graphs.build import Graphs, build_graphs
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.targets import coreml
from tests import tiny
from tests.calibration.coreml_packages import FLAT, TWINS, Written


@pytest.fixture(scope="session", autouse=True)
def _remembered(conversions: None) -> None:
    """Tests here convert the same few graphs again and again."""


@pytest.fixture(scope="session")
def coreml_graphs() -> Graphs:
    """With what a layer can have that is odd: see `TWINS` and `FLAT`."""
    made = build_graphs(tiny.model(tiny.config()))
    layers = quantisable(made.concept)
    layers[TWINS[1]].weight.copy_(layers[TWINS[0]].weight)
    layers[FLAT].weight[0] = 0
    layers[FLAT].weight[1] = 1e-6
    return made


@pytest.fixture(scope="session")
def coreml_written(coreml_graphs: Graphs, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """To be left as it is."""
    folder = tmp_path_factory.mktemp("written")
    return folder, coreml.convert(coreml_graphs.concept, folder, "fp16")


@pytest.fixture
def coreml_copied(coreml_written: Written, tmp_path: Path) -> Written:
    """To be quantised."""
    return Path(shutil.copytree(coreml_written[0], tmp_path / "copied")), coreml_written[1]
