"""A bundle on a device against the CPU, rehearsed on the CPU."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import cuda, on_device


def test_the_cpu_agrees_with_itself(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, amounts = tmp_path / "cuda.json", ("--scenes", "2", "--runs", "2")
    assert cuda.main([str(tiny_bundle), "--device", "cpu", "--output", str(output), *amounts]) == 0
    found = json.loads(output.read_text(encoding="utf-8"))
    assert [row["wanted"] for row in found["rows"]] == list(cuda.ARITHMETICS)
    for row in found["rows"]:
        one = row["agreement"]
        assert (row["problem"], row["computed"]) == ("", "float32")
        assert (one["mean_iou"], one["own_worst_iou"], one["max_difference"]) == (1, 1, 0)
        assert one["scenes"] == 2
        assert one["concepts"] > 2
        assert row["times"]["runs"] == row["cpu_times"]["runs"] == 2
        assert {tuple(graph["nodes"]) for graph in row["graphs"]} == {("CPUExecutionProvider",)}
        assert all(not graph["elsewhere"] for graph in row["graphs"])
    assert f"| {tiny_bundle.name}, cpu, reduced | float32 | 0 of " in capsys.readouterr().out


def test_what_cannot_be_opened_has_a_row_that_says_why(tiny_bundle: Path, tmp_path: Path) -> None:
    output, none = tmp_path / "cuda.json", tmp_path / "none.cgsam"
    arguments = [str(tiny_bundle), str(none), "--device", "abacus", "--scenes", "1", "--output", str(output)]
    assert cuda.main(arguments) == 1
    rows = json.loads(output.read_text(encoding="utf-8"))["rows"]
    assert [row["bundle"] for row in rows] == [tiny_bundle.name, tiny_bundle.name, none.name]
    assert all("abacus" in row["problem"] for row in rows[:2])
    assert str(none) in rows[2]["problem"]


def test_no_scenes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cuda.main(["--scenes", "0", "--output", str(tmp_path / "cuda.json")]) == 3
    assert "--scenes and --runs must be 1 or more" in capsys.readouterr().err


def test_lines_of_native_code_are_heard() -> None:
    with on_device.standard_error() as lines:
        os.write(2, b"[W] 3 Memcpy nodes are added\n\n")
    assert lines == ["[W] 3 Memcpy nodes are added"]
