"""Memory that engines freed goes back to the system now and then, however many threads call."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cgsam_edge import Segmenter
from cgsam_edge.runtimes import allocator
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend
from cgsam_edge.runtimes.protocol import Backend

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's alone")


def test_memory_is_given_back_after_so_many_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    trim: Callable[[int], None] = given.append
    monkeypatch.setattr(allocator, "_runs", 0)
    monkeypatch.setattr(allocator, "_trim", lambda: trim)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: allocator.count_run(), range(3 * allocator.RUNS - 1)))
    assert given == [0, 0]
    allocator.count_run()
    assert given == [0, 0, 0]


def test_each_run_on_openvino_is_counted(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_runs", 0)
    with Segmenter(tiny_bundle, backend="openvino", device="CPU") as segmenter:
        encoded = segmenter.encode(np.zeros((40, 60, 3), np.uint8))
        before = allocator._runs
        encoded.predict("car")
    assert before >= 2  # clip and image
    assert allocator._runs == before + 2  # concept and decoder


@GLIBC
def test_glibc_has_the_call() -> None:
    trim = allocator._trim()
    assert trim is not None
    assert trim(0) in (0, 1)


@GLIBC
def test_what_was_freed_leaves_the_process() -> None:
    blocks = [bytearray(60_000) for _ in range(2_000)]  # too small for separate mappings
    kept = blocks[::100]  # so that the heap cannot shrink from its end
    del blocks
    before = _resident()
    allocator.give_back()
    assert before - _resident() > 60e6
    assert len(kept) == 20


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


PICTURES = """
import ctypes, resource
import numpy as np
from cgsam_edge.runtimes import allocator

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # no huge pages, of which a picture needs few

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [np.zeros(size, np.uint8) for size in (4_000_000, 2_000_000, 2_000_000, 3_000_000, 3_000_000)]
        for block in blocks:
            block += 1
        del block, blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
before = faults()
allocator.keep_freed()
faults()
print(before, faults())
"""


@GLIBC
def test_the_pages_of_a_picture_are_kept_for_the_next() -> None:
    """A process starts with what glibc keeps by default, which no other test may have changed."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", PICTURES], env=plain, capture_output=True, text=True, check=True)
    before, after = (int(count) * resource.getpagesize() for count in done.stdout.split())
    assert before > 80e6  # 14 MB in every second round, at least
    assert after < 2e6


@pytest.mark.parametrize("save_memory", [False, True])
@pytest.mark.parametrize("backend", ["onnxruntime", OnnxRuntimeBackend()], ids=["by its name", "the caller's own"])
def test_who_saves_memory_keeps_none(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, backend: str | Backend, save_memory: bool
) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(allocator, "keep_freed", lambda: kept.append(True))
    Segmenter(tiny_bundle, backend=backend, device="cpu", save_memory=save_memory).close()
    assert bool(kept) is not save_memory


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_trim", lambda: None)
    monkeypatch.setattr(np, "empty", None)
    allocator.keep_freed.__wrapped__()
    monkeypatch.setattr(allocator, "_runs", allocator.RUNS - 1)
    allocator.count_run()
    assert allocator._runs == allocator.RUNS
