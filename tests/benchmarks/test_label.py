"""The benchmark of `cgsam label`: real runs of a few pictures, and what it says of runs that differ."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.label import Kind, LabelTurn, main, markdown

TURN = LabelTurn("plain-1", 101, 2.0, 50.0, 1.0, 3.0, 50.0, 0.0, "a")


@pytest.mark.slow
def test_runs_are_measured_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four pictures, labelled by one process and by two."""
    options = ["--pictures", "4", "--size", "64x48", "--concepts", "car", "--runs", "plain-1,plain-2"]
    main([*options, "--work", str(tmp_path / "work"), "--output", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "| plain-2 | 1 | 4 |" in shown
    assert "All files but the shards are the same byte for byte in all runs." in shown
    found = json.loads((tmp_path / "label-run.json").read_text())
    assert [(one["kind"], one["pictures"]) for one in found["turns"]] == [("plain-1", 4), ("plain-2", 4)]
    for one in found["turns"]:
        assert min(one["start"], one["labelling"], one["writing"], one["driver"], one["workers"]) > 0
    assert "host" not in found["machine"]


def test_rates_are_of_the_time_between_the_first_and_the_last_label() -> None:
    faster = dataclasses.replace(TURN, kind="plain-2", labelling=25.0)
    shown = markdown([TURN, faster])
    assert "| plain-1 | 1 | 101 | 2.0 | 2.00 | 1.0 | 53.0 | 3.0 | 50.0 | 0.0 |" in shown
    assert "plain-2 labels 2.00 times as many pictures a second as plain-1." in shown


def test_other_files_are_not_passed_over() -> None:
    assert "NOT THE SAME" in markdown([TURN, dataclasses.replace(TURN, digest="b")])


@pytest.mark.parametrize("text", ["fast", "plain-0", "ray-", "spark-2"])
def test_other_kinds_of_runs_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected plain-N or ray-N"):
        Kind.parse(text)
