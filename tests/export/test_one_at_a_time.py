"""Parity holds one graph of an engine at a time, with the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cgsam_edge import Segmenter
from cgsam_edge.errors import BackendError
from cgsam_edge.export.one_at_a_time import OneAtATime
from cgsam_edge.export.parity import sample_picture
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend, OnnxRuntimeSession
from cgsam_edge.runtimes.protocol import Session, SessionOptions
from cgsam_edge.runtimes.registry import BACKENDS

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")


class Counting(OnnxRuntimeBackend):
    """Counts the graphs that are open."""

    def __init__(self) -> None:
        self.now, self.most, self.opened = 0, 0, list[str]()

    def open(self, path: Path, options: SessionOptions) -> Session:
        session = super().open(path, options)
        assert isinstance(session, OnnxRuntimeSession)
        self.now += 1
        self.most = max(self.most, self.now)
        self.opened.append(path.stem)
        close = session.close

        def closed() -> None:
            self.now -= 1
            close()

        session.close = closed  # type: ignore[method-assign]
        return session


def test_one_graph_is_open_at_a_time(tiny_bundle: Path) -> None:
    engine, picture = Counting(), sample_picture(80)
    with Segmenter(tiny_bundle, backend=OneAtATime(engine), device="cpu", precision="float32") as segmenter:
        name = segmenter.concepts[0]
        assert engine.opened == []
        made = segmenter.segment(picture, name, skip_absent=False)[name]
        assert sorted(engine.opened) == sorted(GRAPH_NAMES)
        assert (engine.now, engine.most) == (0, 1)
        assert segmenter.placement.backend == "onnxruntime"
        assert engine.now == 0
    with Segmenter(tiny_bundle, backend=BACKENDS["onnxruntime"], device="cpu", precision="float32") as segmenter:
        assert np.array_equal(made.logits, segmenter.segment(picture, name, skip_absent=False)[name].logits)


def test_what_does_not_open_is_an_error_of_the_engine(tmp_path: Path) -> None:
    session = OneAtATime(BACKENDS["onnxruntime"]).open(tmp_path / "image.onnx", SessionOptions(device="CPU"))
    with pytest.raises(BackendError, match=r"image\.onnx"):
        session.run({})
    session.close()
