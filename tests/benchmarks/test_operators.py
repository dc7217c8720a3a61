"""The table of a graph's operators: what products cost, how runs are joined, and both engines on the tiny model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks import operators, peaks
from benchmarks.operators import Operator, product_macs, table


@pytest.mark.parametrize(
    ("kind", "inputs", "out", "macs"),
    [
        ("FullyConnected", [[1, 4096, 768], [3072, 768]], [1, 4096, 3072], 4096 * 768 * 3072),
        ("MatMulNBits", [[1, 10, 64], [5, 1, 32]], [1, 10, 5], 10 * 64 * 5),
        ("MatMul", [[12, 64, 32], [12, 32, 16]], [12, 64, 16], 12 * 64 * 32 * 16),
        ("FusedMatMul", [[12, 32, 64], [12, 32, 16]], [12, 64, 16], 12 * 64 * 32 * 16),  # the first is transposed
        ("ScaledDotProductAttention", [[1, 2, 7, 64], [1, 2, 9, 64], [1, 2, 9, 64]], [1, 2, 7, 64], 2 * 7 * 9 * 128),
        ("Conv", [[1, 3, 32, 32], [8, 3, 4, 4]], [1, 8, 8, 8], 8 * 64 * 48),
        ("Add", [[1, 5], [1, 5]], [1, 5], 0),
    ],
)
def test_multiply_adds(kind: str, inputs: list[list[int]], out: list[int], macs: int) -> None:
    assert product_macs(kind, inputs, out) == macs


def test_medians_shares_and_the_rate() -> None:
    runs = [
        [Operator("MatMul", 0.2, 10**9), Operator("Add", seconds), Operator("Shape", 1e-6)] for seconds in (1, 2, 9)
    ]
    shown = table("concept", [[*run, Operator("MatMul", 0.1, 10**9)] for run in runs], rate=1e10)
    assert shown.rows == (
        ("Add", "1", "2000.0", "87 %", "–", "–"),
        ("MatMul", "2", "300.0", "13 %", "2.0", "67 %"),
        ("the rest", "1", "0.0", "0 %", "–", "–"),
        ("together", "4", "2300.0", "100 %", "2.0", "9 %"),
    )


def test_both_engines(tiny_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rates: Any = {name: {"fp32": 1e12, "reduced": 1e12} for name in operators.ENGINES}
    monkeypatch.setattr(peaks, "measure", lambda _: rates)
    monkeypatch.setattr(operators, "table", partial(table, least=0.0))  # a row a kind, however little time it took
    assert operators.main([str(tiny_bundle), "--graph", "decoder", "--runs", "2", "--reduced"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("**decoder, fp32, ") == 2
    assert "\n| MatMul | " in shown
    assert "FullyConnected, " in shown
    assert shown.count("| together | ") == 2


def test_a_folder_that_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert operators.main([str(tmp_path)]) != 0
    assert capsys.readouterr().err.startswith("error: ")
