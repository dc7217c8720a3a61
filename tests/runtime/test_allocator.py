"""Memory that engines freed goes back to the system now and then, however many threads call."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cgsam_edge import Segmenter
from cgsam_edge.runtimes import allocator


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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's alone")
def test_glibc_has_the_call() -> None:
    trim = allocator._trim()
    assert trim is not None
    assert trim(0) in (0, 1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's alone")
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


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_trim", lambda: None)
    monkeypatch.setattr(allocator, "_runs", allocator.RUNS - 1)
    allocator.count_run()
    assert allocator._runs == allocator.RUNS
