"""Weights in a mapped file leave the process's memory, and are read again unchanged."""

from __future__ import annotations

import gc
import re
import sys
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from cgsam_edge.export import mapped
from cgsam_edge.export.mapped import release_memory, release_pages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems keep pages as they see fit")

SIDE = 2048  # 16 MB


def resident(path: Path) -> int:
    """Return the bytes of a mapped file that are in this process's memory, as the system reports them."""
    smaps, total, here = Path("/proc/self/smaps").read_text(encoding="utf-8"), 0, False
    for line in smaps.splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            here = line.endswith(str(path))
        elif here and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
    return total


def module(weight: torch.Tensor) -> nn.Module:
    made = nn.Linear(SIDE, SIDE, bias=False, device="meta")
    made.load_state_dict({"weight": weight}, assign=True)
    return made


def test_pages_of_a_mapped_file_are_released(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    values = torch.randn(SIDE, SIDE)
    save_file({"weight": values}, path)
    loaded = module(load_file(path)["weight"])
    assert torch.equal(loaded.get_parameter("weight"), values)  # reads every page
    if resident(path) < values.nbytes:
        pytest.skip("this version of safetensors reads the file into memory")
    release_pages(loaded)
    assert resident(path) < values.nbytes / 4
    assert torch.equal(loaded.get_parameter("weight"), values)


def test_what_was_freed_is_given_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []
    monkeypatch.setattr(mapped, "give_back", lambda: given.append(True))
    release_memory(module(torch.zeros(SIDE, SIDE)))
    assert given == [True]


def test_what_refers_to_itself_is_freed_where_that_is_worth_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    one, small = nn.Linear(1, 1), nn.Linear(1, 1)
    one.__dict__["itself"] = one
    kept = weakref.ref(one)
    gc.disable()
    try:
        del one
        release_memory(small)
        assert kept() is not None
        monkeypatch.setattr(mapped, "WORTH", small.weight.nbytes)
        release_memory(small)
        assert kept() is None
    finally:
        gc.enable()


def test_weights_in_memory_stay_as_they_are() -> None:
    values = torch.randn(SIDE, SIDE)
    made = module(values.clone())
    release_pages(made)
    assert torch.equal(made.get_parameter("weight"), values)
