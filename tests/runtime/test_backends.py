"""The contract that every backend keeps. A new one joins by a line in `BACKENDS` of the registry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes.protocol import Backend, Session, SessionOptions
from cgsam_edge.runtimes.registry import BACKENDS


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param]


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle(tiny_bundle)


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
