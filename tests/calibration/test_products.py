"""Sums of products in files: the same numbers, out of the process's memory, and none left where the disk is full."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

import pytest
import torch

from cgsam_edge.calibration import products
from cgsam_edge.calibration.products import Products
from cgsam_edge.calibration.ranges import Observer, Watched
from cgsam_edge.export.graphs.build import Graph, build_graphs
from tests import tiny

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere sums stay in memory")


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_LARGE", 0)


def resident(path: Path) -> int:
    """The bytes of a mapped file that are in this process's memory, as the system reports them."""
    total, here = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            here = line.endswith(str(path))
        elif here and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
    return total


@linux
def test_a_sum_in_a_file_is_the_same_and_takes_no_memory(tmp_path: Path) -> None:
    rows, plain, filed = torch.randn(3, 50, 256), Products(256), Products(256, tmp_path / "sum")
    for part in rows:
        plain.add(part)
        filed.add(part)
    assert torch.equal(filed.matrix, plain.matrix)
    assert resident(tmp_path / "sum") == 0
    assert (tmp_path / "sum").stat().st_size == 4 * 256**2


def test_what_is_divided_shares_the_sum(tmp_path: Path) -> None:
    rows, made, scale = torch.randn(50, 32), Products(32, tmp_path / "sum"), torch.rand(32) + 0.5
    made.add(rows)
    divided = made.divided(scale)
    torch.testing.assert_close(divided.matrix, (rows / scale).T @ (rows / scale))
    torch.testing.assert_close(divided.divided(scale).matrix, made.matrix / torch.outer(scale**2, scale**2))


@linux
def test_on_a_full_disk_a_sum_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    made = Products(32, tmp_path / "sum")
    made.add(torch.eye(32))
    assert torch.equal(made.matrix, torch.eye(32))
    assert not (tmp_path / "sum").exists()


@linux
def test_an_observer_gives_each_layer_its_file(tmp_path: Path) -> None:
    graph: Graph = build_graphs(tiny.model(tiny.config())).concept
    plain, filed = (Observer([graph], watched=Watched(products=True, folder=folder)) for folder in (None, tmp_path))
    for observer in (plain, filed):
        with observer.watching():
            graph.run(graph.example())
    assert len(list(tmp_path.iterdir())) == len(filed.seen) > 3
    for layer, seen in plain.seen.items():
        held = filed.seen[layer].products
        assert seen.products is not None
        assert held is not None
        assert torch.equal(seen.products.matrix, held.matrix)
