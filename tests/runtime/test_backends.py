"""The contract that every backend keeps. A new one joins by a line in `BACKENDS` of the registry.

The MIL evaluator keeps it too, on any machine; Core ML itself where it runs.
"""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError
from cgsam_edge.export.mil.evaluator import EvaluatorBackend
from cgsam_edge.runtimes.coreml import UNITS, CoreMLBackend
from cgsam_edge.runtimes.protocol import Backend, Session, SessionOptions
from cgsam_edge.runtimes.registry import BACKENDS, choose

RUNNABLE: list[Backend] = [*(backend for backend in BACKENDS.values() if not backend.problem()), EvaluatorBackend()]
OFF_MACOS = pytest.mark.skipif(platform.system() == "Darwin", reason="Core ML predicts here")


@pytest.fixture(params=RUNNABLE, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    made: Backend = request.param
    return made


@pytest.fixture
def bundle(backend: Backend, request: pytest.FixtureRequest) -> Bundle:
    fixtures = {"coreml": "tiny_coreml_bundle"}
    return Bundle(request.getfixturevalue(fixtures.get(backend.target, "tiny_bundle")))


@pytest.fixture
def session(backend: Backend, bundle: Bundle) -> Session:
    return backend.open(bundle.verified_graph(backend.target, "decoder"), SessionOptions(threads=1))


def inputs(backend: Backend, bundle: Bundle) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    specs = bundle.graphs(backend.target)["decoder"].inputs
    return {t.name: rng.normal(size=t.shape).astype(np.float32) for t in specs}


def test_outputs_are_those_of_the_manifest(backend: Backend, bundle: Bundle, session: Session) -> None:
    out = session.run(inputs(backend, bundle))
    assert {n: a.shape for n, a in out.items()} == {
        t.name: t.shape for t in bundle.graphs(backend.target)["decoder"].outputs
    }
    assert all(a.dtype == np.float32 for a in out.values())


def test_runs_do_not_disturb_each_other(backend: Backend, bundle: Bundle, session: Session) -> None:
    given = inputs(backend, bundle)
    first = session.run(given)["mask_logits"]
    kept = first.copy()
    session.run({name: -array for name, array in given.items()})
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(session.run(given)["mask_logits"], kept)


def test_any_memory_layout_is_taken(backend: Backend, bundle: Bundle, session: Session) -> None:
    given = inputs(backend, bundle)
    strided = {name: np.asfortranarray(array.astype(np.float64)) for name, array in given.items()}
    np.testing.assert_array_equal(session.run(strided)["iou"], session.run(given)["iou"])  # type: ignore[arg-type]


def test_wrong_inputs_are_named(backend: Backend, bundle: Bundle, session: Session) -> None:
    given = inputs(backend, bundle)
    with pytest.raises(BackendError, match="points"):
        session.run({name: array for name, array in given.items() if name != "points"})
    with pytest.raises(BackendError, match=r"decoder.*\(1, 19, 3\)"):
        session.run({**given, "points": np.zeros((1, 19, 3), np.float32)})


def test_a_closed_session_says_so(backend: Backend, bundle: Bundle, session: Session) -> None:
    session.close()
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.run(inputs(backend, bundle))


def test_a_file_that_is_no_graph(backend: Backend, tmp_path: Path) -> None:
    path = tmp_path / "image.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(BackendError, match=r"image\.onnx"):
        backend.open(path, SessionOptions())


def test_installed_without_importing(backend: Backend) -> None:
    assert backend.installed()
    assert backend.extras
    assert not backend.problem()


@OFF_MACOS
def test_core_ml_is_refused_with_what_can_be_used_instead(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"only on macOS.*onnxruntime can be used here: backend='onnxruntime'"):
        choose("coreml", ["coreml", "onnxruntime"])
    with pytest.raises(BackendError, match=r"only on macOS.*holds no other target that can be used here"):
        choose("coreml", ["coreml"])
    with pytest.raises(BackendError, match=r"image\.mlpackage: Core ML predicts only on macOS"):
        CoreMLBackend().open(tmp_path / "image.mlpackage", SessionOptions())


@OFF_MACOS
def test_auto_leaves_core_ml_aside_with_the_reason() -> None:
    assert choose("auto", ["coreml", "onnxruntime"]).name == "onnxruntime"
    with pytest.raises(BackendError, match="Core ML predicts only on macOS"):
        choose("auto", ["coreml"])


def test_compute_units_are_core_mls() -> None:
    assert [CoreMLBackend(units).units for units in UNITS] == list(UNITS)
    with pytest.raises(BackendError, match="no compute units 'NPU'; expected one of ALL"):
        CoreMLBackend("NPU")
