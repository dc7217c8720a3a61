"""The first use of an engine on a machine: in a child, once, and what was compiled is checked before it is trusted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cgsam_edge import BackendError, Segmenter
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.runtimes import cache, children, judgement, registry, trial
from cgsam_edge.runtimes.opening import open_bundle
from cgsam_edge.runtimes.placement import Placement
from cgsam_edge.runtimes.protocol import Backend, SessionOptions
from cgsam_edge.runtimes.selection import Wish
from tests.runtime import fakes
from tests.runtime.test_bundle import edit

BUNDLE = Path(__file__).parents[2] / "docs" / "vectors" / "bundles" / "format-2.cgsam"
"""A small one, so that children are quick."""

PICTURE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
OPENVINO: dict[str, Any] = {"backend": "openvino", "threads": 1}


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The engines that were tried in children, in this order."""
    asked: list[str] = []
    real = trial.attempts

    def count(backend: Backend, what: trial.Trial) -> trial.Findings:
        asked.append(backend.name)
        return real(backend, what)

    monkeypatch.setattr(trial, "attempts", count)
    return asked


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, trials: None) -> None:
    """A program that can start no child."""
    monkeypatch.setattr(children, "_unable", "there are no children here")


def opened(**options: Any) -> tuple[NDArray[np.float32], Placement]:
    """Open a bundle, and return the logits of a concept with the placement."""
    with Segmenter(**{"bundle": BUNDLE} | options) as segmenter:
        return segmenter.segment(PICTURE, ["road"])["road"].logits.copy(), segmenter.placement


def cached(placement: Placement) -> list[bool]:
    return [graph.cached for graph in placement.graphs]


def blobs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.blob"))


# once, in a child


def test_the_first_use_is_tried_and_later_ones_are_not(fresh: Path, trials: None, tried: list[str]) -> None:
    first, placement = opened(backend="onnxruntime")
    assert (tried, placement.reason) == (["onnxruntime"], "the only candidate here")
    np.testing.assert_array_equal(opened(backend="onnxruntime")[0], first)
    assert tried == ["onnxruntime"]
    opened(backend="onnxruntime", threads=1)
    assert tried == ["onnxruntime"] * 2, "another setting"


@pytest.mark.slow
def test_a_measured_choice_is_not_tried_again(
    fresh: Path, trials: None, tried: list[str], engines: Callable[..., None]
) -> None:
    engines(registry.BACKENDS["onnxruntime"], fakes.Second())
    assert opened()[1].reason == "measured"
    assert tried == ["onnxruntime", "second"]
    opened()
    opened(backend="second")
    opened(backend="onnxruntime", device="cpu")
    assert tried == ["onnxruntime", "second"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_crash_of_what_was_forced_costs_a_child(
    fresh: Path, trials: None, tried: list[str], engines: Callable[..., None]
) -> None:
    engines(fakes.Crashing())
    for _ in range(2):
        with pytest.raises(BackendError) as caught:
            Segmenter(BUNDLE, backend="crashing", device="gpu")
        assert str(caught.value) == (
            "crashing on GPU: crashed: its process died of SIGKILL while opening the graph 'clip'"
        )
    assert tried == ["crashing"] * 2, "no crash is trusted"
    assert opened(backend="crashing", device="cpu")[1].reason == "forced"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_doctor_chooses_nothing_that_crashes(
    fresh: Path, trials: None, engines: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    engines(fakes.Crashing())
    command = ["doctor", str(BUNDLE), "--backend", "crashing", "--device"]
    assert main([*command, "gpu"]) == 3
    assert "crashed: its process died of SIGKILL" in capsys.readouterr().out
    assert main([*command, "cpu"]) == 0
    assert "choice: crashing on CPU" in capsys.readouterr().out


def test_wrong_numbers_of_what_was_forced_are_refused(fresh: Path, trials: None, engines: Callable[..., None]) -> None:
    engines(fakes.NotANumber())
    with pytest.raises(BackendError, match="nan on CPU: rejected: the graph 'clip' returned NaN or infinity"):
        Segmenter(BUNDLE, backend="nan")


def test_nobody_is_tried_where_the_user_says_never(fresh: Path, tried: list[str], engines: Callable[..., None]) -> None:
    engines(fakes.NotANumber())
    with Segmenter(BUNDLE, backend="nan") as segmenter:
        assert segmenter.placement.reason == "the only candidate here"
    assert tried == []


@pytest.mark.slow
def test_a_bundle_without_examples_is_tried_on_zeros(
    fresh: Path, trials: None, tmp_path: Path, engines: Callable[..., None]
) -> None:
    bare = Path(shutil.copytree(BUNDLE, tmp_path / "bare.cgsam"))
    edit(bare, lambda m: m["files"].pop("examples.npz"))
    engines(fakes.NotANumber(), registry.BACKENDS["onnxruntime"])
    with pytest.raises(BackendError, match="returned NaN or infinity"):
        Segmenter(bare, backend="nan")
    assert opened(bundle=bare, backend="onnxruntime")[1].reason == "the only candidate here"


@pytest.mark.slow
def test_without_a_cache_it_is_tried_once_a_process(
    tmp_path: Path, trials: None, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(cache.ENVIRONMENT, str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot be written"):
        opened(backend="onnxruntime")
    opened(backend="onnxruntime")
    assert tried == ["onnxruntime"]


# what was compiled


SETTINGS: list[dict[str, Any]] = [
    {},
    {"precision": "reduced"},
    {"threads": 2},
    {"performance": "throughput"},
]


@pytest.fixture(scope="module")
def alone_in_a_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NDArray[np.float32]]]:
    """The logits of each setting, from a cache folder that no other setting has seen."""
    made = []
    with pytest.MonkeyPatch.context() as patch:
        for setting in SETTINGS:
            patch.setenv(cache.ENVIRONMENT, str(tmp_path_factory.mktemp("cache")))
            made.append(opened(**OPENVINO | setting)[0])
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, -1], ids=["forwards", "backwards"])
def test_settings_in_any_order_on_one_cache(
    order: int, fresh: Path, alone_in_a_cache: list[NDArray[np.float32]]
) -> None:
    """Of any two settings each comes before the other in one of the two tests, compiled and then loaded."""
    for expected in (False, True):
        for i in range(len(SETTINGS))[::order]:
            logits, placement = opened(**OPENVINO | SETTINGS[i])
            assert cached(placement) == [expected] * 4, SETTINGS[i]
            np.testing.assert_array_equal(logits, alone_in_a_cache[i], str(SETTINGS[i]))


@pytest.mark.slow
def test_what_a_trial_compiled_is_loaded(fresh: Path, trials: None, tried: list[str]) -> None:
    logits, placement = opened(**OPENVINO)
    assert cached(placement) == [True] * 4
    assert len(blobs(fresh)) == 4
    assert not list(fresh.rglob(".scratch-*"))
    blobs(fresh)[0].write_bytes(b"cut off")
    again, placement = opened(**OPENVINO)
    assert tried == ["openvino"] * 2, "a file that changed is not trusted"
    assert cached(placement) == [True] * 4
    np.testing.assert_array_equal(again, logits)


def test_without_children_what_is_loaded_is_checked_here(
    fresh: Path, alone: None, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    real = judgement.replay_on

    def count(*arguments: Any) -> Any:
        checked.append("")
        return real(*arguments)

    monkeypatch.setattr("cgsam_edge.runtimes.first_use.replay_on", count)
    _, placement = opened(**OPENVINO)
    assert placement.reason == "the only candidate here; not tried: there are no children here"
    assert (cached(placement), len(checked)) == ([False] * 4, 0)
    assert (cached(opened(**OPENVINO)[1]), len(checked)) == ([True] * 4, 1)
    assert (cached(opened(**OPENVINO)[1]), len(checked)) == ([True] * 4, 1), "proven"


@pytest.mark.slow
def test_without_children_what_loads_wrongly_is_compiled_each_time(
    fresh: Path, alone: None, engines: Callable[..., None]
) -> None:
    engines(fakes.Stale())
    logits, _ = opened(backend="stale")
    for _ in range(2):
        again, placement = opened(backend="stale")
        assert cached(placement) == [False] * 4
        np.testing.assert_array_equal(again, logits)
    assert not list(fresh.rglob("*.onnx"))


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("backend", [fakes.Stale(), fakes.Fatal()], ids=lambda one: one.name)
def test_an_engine_that_cannot_load_what_it_compiled_goes_without(
    backend: Backend, fresh: Path, trials: None, tried: list[str], engines: Callable[..., None]
) -> None:
    engines(backend)
    for _ in range(2):
        _, placement = opened(backend=backend.name)
        assert cached(placement) == [False] * 4
        assert placement.reason == "the only candidate here"
    assert tried == [backend.name]


# remembered choices


def test_when_no_remembered_candidate_opens_all_are_measured_again(
    fresh: Path, tried: list[str], engines: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = (registry.BACKENDS["onnxruntime"], fakes.Second())
    engines(*both)
    bundle = Bundle(BUNDLE)
    assert open_bundle(bundle, Wish()).selection.reason == "measured"
    assert not [graph for graph in opened()[1].graphs if graph.cached]
    assert tried == ["onnxruntime", "second"]
    refused: list[str] = []

    def refuse_once(backend: Backend) -> None:
        real = backend.open

        def open_later(path: Path, options: SessionOptions) -> Any:
            if backend.name not in refused:
                refused.append(backend.name)
                raise BackendError("the driver is being replaced")
            return real(path, options)

        monkeypatch.setattr(backend, "open", open_later)

    for backend in both:
        refuse_once(backend)
    found = open_bundle(bundle, Wish())
    assert sorted(refused) == ["onnxruntime", "second"]
    assert tried == ["onnxruntime", "second"] * 2
    assert found.selection.reason == "measured"
    assert {one.verdict.split(":")[0] for one in found.selection.tried} == {"chosen", "slower"}
