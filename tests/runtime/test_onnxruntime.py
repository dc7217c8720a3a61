"""ONNX Runtime's providers: what they are told, and the proof of what they took."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import nodes
from cgsam_edge.runtimes import onnxruntime as runtime
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.runtimes.providers import CPU, PROVIDERS, Provider


@pytest.fixture
def graph(tiny_bundle: Path) -> Path:
    return Bundle(tiny_bundle).verified_graph("onnxruntime", "decoder")


def provider(device: str) -> Provider:
    return next(p for p in PROVIDERS if p.device == device)


def test_nodes_are_counted_from_the_session_and_from_a_profile(graph: Path) -> None:
    facts = runtime.OnnxRuntimeBackend().open(graph, SessionOptions()).facts()
    assert set(facts.nodes) == {CPU}
    profiled = nodes.from_profile(graph, [(CPU, {})])
    assert set(profiled) == {CPU}
    assert profiled[CPU] > 50


class Older:
    """A session of a release that keeps no record of its nodes."""

    def get_providers(self) -> list[str]:
        return [CPU]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {CPU: {}}


def test_older_releases_are_profiled(graph: Path) -> None:
    assert nodes.by_provider(Older(), graph) == nodes.from_profile(graph, [(CPU, {})])
    with pytest.raises(BackendError, match="could not profile it"):
        nodes.from_profile(graph.parent.parent / "manifest.json", [(CPU, {})])


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_start_is_refused(graph: Path) -> None:
    """ONNX Runtime itself would go on with the CPU."""
    with pytest.raises(BackendError, match=r"could not start CUDAExecutionProvider .* would have run on CPUExecution"):
        runtime.OnnxRuntimeSession(graph, SessionOptions(device="CUDA"), provider("CUDA"))


@pytest.mark.parametrize(
    ("device", "options", "expected"),
    [
        ("CUDA", {}, {"use_tf32": "0"}),
        ("CUDA", {"precision": "reduced"}, {"use_tf32": "1"}),
        ("TensorRT", {"precision": "float32"}, {"trt_fp16_enable": "0"}),
        (
            "TensorRT",
            {"precision": "reduced", "cache": Path("c")},
            {"trt_fp16_enable": "1", "trt_engine_cache_enable": "1", "trt_engine_cache_path": "c"},
        ),
        ("OpenVINO", {}, {"precision": "FP32"}),
        ("CPU", {"precision": "reduced"}, {}),
    ],
)
def test_providers_are_told_the_precision(device: str, options: dict[str, Any], expected: dict[str, str]) -> None:
    assert provider(device).settings(SessionOptions(**options)) == expected


@pytest.mark.parametrize(
    ("options", "threads"),
    [
        ({"threads": 3}, 3),
        ({"threads": 3, "performance": "throughput"}, 1),
        ({"threads": 3, "performance": "low-power"}, 3),
        ({}, 0),
    ],
)
def test_threads_of_one_run(options: dict[str, Any], threads: int) -> None:
    assert runtime._settings(SessionOptions(**options)).intra_op_num_threads == threads


def test_low_power_takes_half_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    from cgsam_edge.runtimes import protocol

    monkeypatch.setattr(protocol, "cores", lambda: 8)
    assert SessionOptions(performance="low-power").thread_limit == 4
    assert SessionOptions(performance="low-power", threads=3).thread_limit == 3
    assert SessionOptions().thread_limit is None
    assert SessionOptions(performance="throughput").at_once == 8
    assert SessionOptions().at_once == 1


SHARED = "session.use_env_allocators"


def test_sessions_share_one_pool_unless_memory_is_saved() -> None:
    assert runtime._settings(SessionOptions()).get_session_config_entry(SHARED) == "1"
    saving = runtime._settings(SessionOptions(save_memory=True))
    assert not saving.enable_cpu_mem_arena
    with pytest.raises(RuntimeError):  # there is no such entry
        saving.get_session_config_entry(SHARED)


def test_where_somebody_else_has_made_a_pool_graphs_run_with_that(graph: Path) -> None:
    program = f"""
import numpy as np, onnxruntime as engine
place = engine.OrtMemoryInfo("Cpu", engine.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, engine.OrtMemType.DEFAULT)
engine.create_and_register_allocator(place, engine.OrtArenaCfg({{}}))
from pathlib import Path
from cgsam_edge.runtimes import onnxruntime as runtime
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.runtimes.providers import CPU, PROVIDERS, Provider
print(runtime._share_memory(), runtime.OnnxRuntimeBackend().open(Path({str(graph)!r}), SessionOptions()).facts().nodes)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "{'CPUExecutionProvider'" in told  # whether a release takes a second pool or refuses it


def test_no_thread_waits_busily_for_the_next_graph() -> None:
    assert runtime._settings(SessionOptions()).get_session_config_entry("session.force_spinning_stop") == "1"
