"""Whether the ways to choose ranges are compared by masks: where inputs are in INT8, and not for weights alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgsam_edge.bundle import Bundle
from cgsam_edge.calibration.calibrate import Feeds, Judged, calibrate
from cgsam_edge.calibration.ranges import METHODS, UNJUDGED, Watched
from cgsam_edge.export.graphs.build import build_graphs
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.torch_backend import open_in_torch
from cgsam_edge.quality.photos import from_folder
from cgsam_edge.quality.scenes.__main__ import write_scenes
from tests import tiny


@pytest.mark.parametrize("judged", [True, False])
def test_ways_are_compared_on_request(
    judged: bool, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs, bundle = build_graphs(tiny.model(tiny.config())), Bundle(tiny_bundle)
    reference = open_in_torch(tmp_path / "reference", bundle.manifest, bundle.vocabulary, graphs)
    write_scenes(tmp_path / "scenes", 6, range(1), 96, 96)
    (tmp_path / "features").mkdir()
    feeds = Feeds(from_folder(tmp_path / "scenes" / "images", least=1), reference, tmp_path / "features")
    errors = iter([0.3, 0.1, 0.2])
    monkeypatch.setattr(Judged, "error", lambda *_: next(errors))
    found = calibrate(graphs, feeds, 0.5, watched=Watched(judged=judged))
    assert (found.method, len(found.scores)) == ((METHODS[1], 3) if judged else (UNJUDGED, 0))
    assert UNJUDGED in METHODS
    assert found.ranges


@pytest.mark.parametrize(
    ("targets", "precision", "expected"),
    [
        (("onnxruntime",), "int8", True),
        (("onnxruntime", "openvino"), "int4", False),
        (("openvino",), "image=int8,concept=int4", True),
        (("coreml",), "int8", False),
        (("openvino", "coreml"), "int8", True),
        (("onnxruntime",), "fp16", False),
    ],
)
def test_they_matter_where_an_engine_rounds_inputs(targets: tuple[str, ...], precision: str, expected: bool) -> None:
    assert ExportOptions(Path("a"), Path("b"), Path("c"), targets, precision).ranged == expected
