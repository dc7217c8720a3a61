"""The child in which an export tries an engine: the same numbers, and crashes that cost an attempt alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.arithmetic import ArithmeticProof
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError
from cgsam_edge.export import arithmetic_proof, engine_child
from cgsam_edge.export.arithmetic_search import Budget
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.judge import GateLimits, TargetQuality
from cgsam_edge.quality.labels import LabelledImage
from cgsam_edge.runtimes import children
from cgsam_edge.runtimes.children import NoChildError
from cgsam_edge.runtimes.openvino import OpenVinoBackend
from cgsam_edge.runtimes.protocol import SessionOptions

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def tried(
    bundle: Path, segmenter: Segmenter, picture: Path, said: list[str]
) -> tuple[ArithmeticProof, arithmetic_proof.Prover]:
    """What is proven of bfloat16 for a bundle's target, however the engine fares, and by whom."""
    gate = Gate(segmenter, [LabelledImage(picture)], draws=0)
    judged = TargetQuality("onnxruntime", gate.measure(segmenter), GateLimits(min_iou=0.0))
    unused: Any = None  # nothing is emulated
    prover = arithmetic_proof.Prover(gate, unused, unused, bundle, ("bfloat16",), Budget(1e6), said.append)
    return prover.prove(judged, Bundle(bundle).manifest)["bfloat16"], prover


def test_graphs_give_the_same_numbers_in_a_child(tiny_bundle: Path) -> None:
    bundle = Bundle(tiny_bundle)
    spec = bundle.graphs("onnxruntime")["decoder"]
    path, draw = tiny_bundle / spec.path, np.random.default_rng(0)
    given = {one.name: draw.standard_normal(one.shape).astype(np.float32) for one in spec.inputs}
    options = SessionOptions(precision="float32", threads=1)
    here = OpenVinoBackend().open(path, options)
    with engine_child.EngineChild() as child:
        there = child.open(path, options)
        assert there.facts() == here.facts()
        for _ in range(2):
            made, expected = there.run(given), here.run(given)
            assert made.keys() == expected.keys()
            assert all(np.array_equal(made[name], expected[name]) for name in made)
        with pytest.raises(BackendError, match=f"{spec.path}: expected the inputs"):
            there.run({next(iter(given)): np.zeros((1, 3), np.float32)})


def test_graphs_with_different_inputs_share_a_child(tiny_bundle: Path) -> None:
    bundle, draw = Bundle(tiny_bundle), np.random.default_rng(0)
    options = SessionOptions(precision="float32", threads=1)
    specs = [bundle.graphs("onnxruntime")[name] for name in ("decoder", "concept")]
    assert {one.name for one in specs[0].inputs} != {one.name for one in specs[1].inputs}
    with engine_child.EngineChild() as child:
        there = [child.open(tiny_bundle / spec.path, options) for spec in specs]
        for number in (0, 1, 0):
            spec = specs[number]
            given = {one.name: draw.standard_normal(one.shape).astype(np.float32) for one in spec.inputs}
            made = there[number].run(given)
            expected = OpenVinoBackend().open(tiny_bundle / spec.path, options).run(given)
            assert made.keys() == expected.keys()
            assert all(np.array_equal(made[name], expected[name]) for name in made)


def test_a_child_that_hangs_is_ended_and_never_answers_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_child, "MODULE", "tests.export.hanging_engine")
    monkeypatch.setattr(children, "STEP_LIMIT", 1.0)
    with engine_child.EngineChild() as child:
        with pytest.raises(BackendError, match=r"said nothing for 1 s while computing a\.onnx"):
            child.run(Path("a.onnx"), {})
        with pytest.raises(BackendError, match=r"while computing b\.onnx"):
            child.run(Path("b.onnx"), {})


def test_a_run_may_take_as_long_as_the_gate_suggests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_child, "MODULE", "tests.export.hanging_engine")
    monkeypatch.setattr(children, "STEP_LIMIT", 1.0)
    with engine_child.EngineChild(patience=20.0) as child:
        assert child.run(Path("a.onnx"), {}) == {}


def test_a_folder_that_cannot_take_arrays_is_an_engine_s_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoChildError, match="no folder for a child's arrays can be made in"):
        engine_child.EngineChild(tmp_path / "missing")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with engine_child.EngineChild() as child, pytest.raises(BackendError, match=r"No space left on device.*TMPDIR"):
        child.run(Path("a.onnx"), {"x": np.zeros(1, np.float32)})


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_crash_ends_an_attempt_and_not_the_export(
    tiny_bundle: Path, tiny_segmenter: Segmenter, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_child, "MODULE", "tests.export.crashing_engine")
    monkeypatch.setattr(arithmetic_proof, "has", lambda _: True)
    said: list[str] = []
    found, prover = tried(tiny_bundle, tiny_segmenter, picture, said)
    assert found.graphs == dict.fromkeys(GRAPH_NAMES, "float32")
    assert prover.likely == {}, "another target's files may not crash"
    assert found.note.startswith(
        "onnxruntime in bfloat16 could not be computed: its process died of SIGSEGV while opening concept.onnx"
    )
    assert said[0].startswith(
        "onnxruntime, bfloat16 in clip and image and concept and decoder: not passed: its process died of SIGSEGV"
    )


def test_an_engine_computes_in_this_process_where_no_child_can_be_started(
    tiny_bundle: Path, tiny_segmenter: Segmenter, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not arithmetic_proof.has("bfloat16"):
        pytest.skip("this CPU has no BF16")
    monkeypatch.setattr(children, "_unable", "this program cannot start another Python process: it may not")
    said: list[str] = []
    found, prover = tried(tiny_bundle, tiny_segmenter, picture, said)
    assert found.graphs == dict.fromkeys(GRAPH_NAMES, "bfloat16")
    assert prover.likely == {"bfloat16": frozenset(GRAPH_NAMES)}
    assert said[0] == (
        "warning: this program cannot start another Python process: it may not. The engine computes in the export's "
        "own process."
    )
