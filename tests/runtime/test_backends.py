"""The contract that every backend keeps. A new one joins by a line in `BACKENDS` of the registry.

The MIL evaluator keeps it too, on any machine; Core ML itself where it runs.
"""

from __future__ import annotations

import platform
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgsam_edge import Segmenter
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError, InputError
from cgsam_edge.export.mil.evaluator import EvaluatorBackend
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.runtimes import installed
from cgsam_edge.runtimes.coreml import CoreMLBackend
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend
from cgsam_edge.runtimes.protocol import PERFORMANCES, Backend, Session, SessionOptions, max_threads
from cgsam_edge.runtimes.registry import BACKENDS, fitting
from tests.conftest import slow

RUNNABLE: list[Backend] = [*(backend for backend in BACKENDS.values() if not backend.problem()), EvaluatorBackend()]
OFF_MACOS = pytest.mark.skipif(platform.system() == "Darwin", reason="Core ML predicts here")

THREADS = f"threads must be a whole number from 1 to {max_threads()}"
ODD = (0, -1, 3000, "4", 1.5, True)
OPENS = [(backend, target) for backend in RUNNABLE for target in backend.targets]


@pytest.fixture(params=OPENS, ids=lambda pair: f"{pair[0].name}-of-{pair[1]}")
def pair(request: pytest.FixtureRequest) -> tuple[Backend, str]:
    made: tuple[Backend, str] = request.param
    return made


@pytest.fixture
def backend(pair: tuple[Backend, str]) -> Backend:
    return pair[0]


@pytest.fixture(params=["fp32", slow("fp16")])
def bundle(request: pytest.FixtureRequest, all_bundles: dict[str, Path]) -> Bundle:
    return Bundle(all_bundles[request.param])


@pytest.fixture
def graph(pair: tuple[Backend, str], bundle: Bundle) -> Path:
    return bundle.verified_graph(pair[1], "decoder")


@pytest.fixture
def session(backend: Backend, graph: Path) -> Session:
    return backend.open(graph, SessionOptions(threads=1))


def inputs(bundle: Bundle) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    specs = bundle.graphs("onnxruntime")["decoder"].inputs
    return {t.name: rng.normal(size=t.shape).astype(np.float32) for t in specs}


def test_outputs_are_those_of_the_manifest(pair: tuple[Backend, str], bundle: Bundle, session: Session) -> None:
    out = session.run(inputs(bundle))
    assert {n: a.shape for n, a in out.items()} == {t.name: t.shape for t in bundle.graphs(pair[1])["decoder"].outputs}
    assert all(a.dtype == np.float32 for a in out.values())


def test_runs_do_not_disturb_each_other(bundle: Bundle, session: Session) -> None:
    given = inputs(bundle)
    first = session.run(given)["mask_logits"]
    kept = first.copy()
    session.run({name: -array for name, array in given.items()})
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(session.run(given)["mask_logits"], kept)


def test_any_memory_layout_is_taken(bundle: Bundle, session: Session) -> None:
    given = inputs(bundle)
    strided = {name: np.asfortranarray(array.astype(np.float64)) for name, array in given.items()}
    np.testing.assert_array_equal(session.run(strided)["iou"], session.run(given)["iou"])  # type: ignore[arg-type]


def test_wrong_inputs_are_named(bundle: Bundle, session: Session) -> None:
    given = inputs(bundle)
    with pytest.raises(BackendError, match="points"):
        session.run({name: array for name, array in given.items() if name != "points"})
    with pytest.raises(BackendError, match=r"decoder.*\(1, 19, 3\)"):
        session.run({**given, "points": np.zeros((1, 19, 3), np.float32)})


def test_a_closed_session_says_so(bundle: Bundle, session: Session) -> None:
    session.close()
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.run(inputs(bundle))
    with pytest.raises(BackendError, match="closed"):
        session.facts()


@pytest.mark.parametrize("performance", [slow(one) if one == "low-power" else one for one in PERFORMANCES])
@pytest.mark.parametrize("save_memory", [False, slow(True)], ids=["", "save_memory"])
def test_every_mode_computes_the_same_from_many_threads(
    backend: Backend, bundle: Bundle, graph: Path, performance: str, save_memory: bool
) -> None:
    given = [{name: array + i for name, array in inputs(bundle).items()} for i in range(4)]
    expected = [backend.open(graph, SessionOptions(threads=1)).run(one)["iou"] for one in given]
    session = backend.open(graph, SessionOptions(threads=2, performance=performance, save_memory=save_memory))
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for got, wanted in zip(pool.map(lambda one: session.run(one)["iou"], given), expected, strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    session.close()


def test_closing_waits_for_the_run_that_goes_on(backend: Backend, bundle: Bundle, graph: Path) -> None:
    session = backend.open(graph, SessionOptions(threads=2, performance="throughput"))
    given = inputs(bundle)
    started, problems = threading.Event(), []

    def work() -> None:
        try:
            while True:
                session.run(given)
                started.set()
        except BackendError as error:
            problems.append(str(error))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    started.wait(60)
    session.close()
    for worker in workers:
        worker.join(60)
    assert len(problems) == 3
    assert all("closed" in problem for problem in problems)


def test_facts_come_from_the_session(backend: Backend, graph: Path) -> None:
    facts = backend.open(graph, SessionOptions(threads=1)).facts()
    if backend.name not in BACKENDS:
        return  # the evaluator, which starts no threads
    assert facts.precision == "float32"
    assert facts.threads == 1
    ((where, count),) = facts.nodes.items()
    assert where.startswith("CPU")
    assert count > 50


def test_a_file_that_is_no_graph(backend: Backend, tmp_path: Path) -> None:
    path = tmp_path / "image.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(BackendError, match=r"image\.onnx"):
        backend.open(path, SessionOptions())


def test_devices_that_are_not_here(backend: Backend, graph: Path) -> None:
    with pytest.raises(BackendError, match=r"has no device 'TPU'; here it has .*CPU"):
        backend.open(graph, SessionOptions(device="TPU"))
    for device in backend.devices():
        if device.missing:
            with pytest.raises(BackendError) as caught:
                backend.open(graph, SessionOptions(device=device.name))
            assert device.missing in str(caught.value)


def test_the_cpu_is_listed(backend: Backend) -> None:
    (cpu,) = [device for device in backend.devices() if device.name == "CPU"]
    assert cpu.automatic
    assert cpu.answers_to("cpu")
    assert cpu.answers_to("CPU")
    assert not cpu.answers_to("gpu")


def test_installed_without_importing(backend: Backend) -> None:
    assert backend.version()
    assert not backend.problem()
    assert backend.extras
    assert installed.installed_version("no_such_engine", ()) is None


def test_the_version_is_that_of_the_library_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "__version__", "1.98.7")
    assert str(OnnxRuntimeBackend().version()).startswith("1.98.7")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"threads": value}, f"{THREADS}, or None for the engine's choice") for value in ODD),
        ({"performance": 1}, "performance must be one of 'latency', 'throughput', 'low-power', got 1"),
        ({"precision": ["float32"]}, r"precision must be one of .* got \['float32'\]"),
        ({"device": 3}, "device must be 'auto' or a device's name, got 3"),
        ({"save_memory": "no"}, "save_memory must be True or False, got 'no'"),
        ({"performance": "fast"}, "performance must be one of 'latency', 'throughput', 'low-power', got 'fast'"),
        ({"precision": "int8"}, "precision must be one of 'default', 'float32', 'reduced', got 'int8'"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SessionOptions(**options)  # type: ignore[arg-type]


def test_integers_of_numpy_are_numbers_of_threads() -> None:
    assert type(SessionOptions(threads=np.int64(2)).threads) is int


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": 3}, "backend must be 'auto', a backend's name or a Backend, got 3"),
        ({"backend": CoreMLBackend}, "backend must be 'auto', a backend's name or a Backend, got <class"),
        ({"device": None}, "device must be 'auto' or a device's name, got None"),
        ({"refresh": 1}, "refresh must be True or False, got 1"),
        ({"threads": 3000}, THREADS),
    ],
)
def test_wrong_options_of_a_segmenter(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Segmenter(**options)


class Noting(OnnxRuntimeBackend):
    """Notes what is opened."""

    def __init__(self) -> None:
        self.opened: list[Path] = []

    def open(self, path: Path, options: SessionOptions) -> Session:
        self.opened.append(path)
        return super().open(path, options)


def test_the_largest_graph_is_opened_first(tiny_bundle: Path) -> None:
    """An engine holds weights twice while it opens a graph."""
    backend = Noting()
    with Segmenter(tiny_bundle, backend=backend) as segmenter:
        assert tuple(segmenter._model.sessions) == segmenter.bundle.manifest.graph_names
    sizes = [path.stat().st_size for path in backend.opened]
    assert len(sizes) == len(GRAPH_NAMES)
    assert sizes == sorted(sizes, reverse=True)


@OFF_MACOS
def test_core_ml_is_refused_with_what_can_be_used_instead(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"only on macOS.*also opens here with backend='onnxruntime' or"):
        fitting("coreml", ["coreml", "onnxruntime"])
    with pytest.raises(BackendError, match=r"only on macOS.*No other backend"):
        fitting("coreml", ["coreml"])
    with pytest.raises(BackendError, match=r"image\.mlpackage: Core ML predicts only on macOS"):
        CoreMLBackend().open(tmp_path / "image.mlpackage", SessionOptions())
    missing = [device.missing for device in CoreMLBackend().devices()]
    assert missing
    assert all("only on macOS" in one for one in missing)


@OFF_MACOS
def test_auto_leaves_core_ml_aside_with_the_reason() -> None:
    assert "coreml" not in [backend.name for backend in fitting("auto", ["coreml", "onnxruntime"])]
    with pytest.raises(BackendError, match="Core ML predicts only on macOS"):
        fitting("auto", ["coreml"])
