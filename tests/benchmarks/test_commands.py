"""Both command lines with real engines, on the tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import alternatives, batches, scaling
from benchmarks.contenders import CONTENDERS
from benchmarks.series import Sizes

EXACT = {
    one.key
    for one in CONTENDERS
    if (one.precision, one.arithmetic) == ("fp32", "float32") and not one.key.endswith("-optimised")
}
"""Those that compute PyTorch's numbers; ONNX Runtime's own optimiser approximates."""

FEW = ("pytorch", "plain-onnxruntime", "ours-onnxruntime")


def compare(checkpoint: Path, output: Path, *more: str) -> Any:
    amounts = ("--rounds", "1", "--runs", "2", "--gate", "0")
    arguments = ["--model", str(checkpoint), "--output", str(output), *amounts, *more]
    assert alternatives.main(arguments) == 0
    return json.loads((output / checkpoint.stem / "results.json").read_text(encoding="utf-8"))


def check(found: Any, keys: tuple[str, ...]) -> None:
    rows = {row["key"]: row for row in found["rows"]}
    assert tuple(rows) == keys
    eager = rows["pytorch"]["one"]["p50"]
    for row in rows.values():
        assert row["problem"] == ""
        assert row["one"]["runs"] == 2
        assert row["to_eager"] == pytest.approx(row["one"]["p50"] / eager)
        assert row["mask_iou"] > (0.999 if row["key"] in EXACT else 0.5)
        assert row["cold"] > 0.1
        assert row["peak_memory"] > 20e6
    assert rows["ours-onnxruntime"]["macs"] < rows["pytorch"]["macs"]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alternatives")


@pytest.mark.slow
def test_a_comparison_and_going_on_after_an_interruption(
    tiny_checkpoint: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("--contenders", ",".join(FEW))
    first = compare(tiny_checkpoint, output, *chosen)
    check(first, FEW)
    page = (output / "tiny" / "results.md").read_text(encoding="utf-8")
    assert all(row["name"] in page for row in first["rows"])
    turns = output / "tiny" / "turns.json"
    kept = json.loads(turns.read_text())[:-1]
    turns.write_text(json.dumps(kept))
    capsys.readouterr()
    second = compare(tiny_checkpoint, output, *chosen)
    told = capsys.readouterr().err
    assert second["turns"][:-1] == kept
    assert len(second["turns"]) == len(FEW)
    assert "2 of 3 turns were measured before" in told
    assert "making" not in told


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_all_contenders(tiny_checkpoint: Path, output: Path) -> None:
    check(compare(tiny_checkpoint, output, "--gate", "2"), tuple(one.key for one in CONTENDERS))


@pytest.mark.slow
def test_scaling(tiny_checkpoint: Path, tmp_path: Path) -> None:
    sizes = Sizes((1, 3), (0.1, 0.2), (4, 12), 128, 64, 3, tiny_checkpoint)
    arguments = ["--output", str(tmp_path / "docs"), "--work", str(tmp_path / "work"), "--rounds", "1"]
    assert scaling.main(arguments, sizes) == 0
    made = json.loads((tmp_path / "docs" / "scaling.json").read_text(encoding="utf-8"))
    page = (tmp_path / "docs" / "scaling.md").read_text(encoding="utf-8")
    plots = [plot for section in made["sections"] for plot in section["plots"]]
    assert [len(section["plots"]) for section in made["sections"]] == [2, 2, 2]
    for plot in plots:
        assert f"]({plot['file']})" in page
        assert (tmp_path / "docs" / plot["file"]).read_text(encoding="utf-8").startswith("<svg")
        assert all(spot["low"] <= spot["y"] <= spot["high"] for curve in plot["curves"] for spot in curve["spots"])
    assert [spot["x"] for spot in plots[0]["curves"][0]["spots"]] == [1, 3]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--model", "vit_x"), "no model 'vit_x'; expected vit_b, small, scenes, streets, or the file of a checkpoint"),
        (("--contenders", "pytorch,tvm"), "no contender 'tvm'; expected some of pytorch, pytorch-bf16, compiled"),
        (("--rounds", "0"), "--rounds must be 1 or more, got 0"),
        (("--threads", "-1"), "--threads must be 1 or more, got -1"),
        (("--gate", "-1"), "--gate must be 0 or more, got -1"),
    ],
)
def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str) -> None:
    assert alternatives.main(["--output", str(tmp_path / "out"), *more]) == 3
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_scaling_refuses_no_rounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.main(["--output", str(tmp_path / "out"), "--rounds", "0"]) == 3
    assert "--rounds must be 1 or more, got 0" in capsys.readouterr().err


@pytest.mark.parametrize("command", [alternatives.main, scaling.main])
def test_an_output_that_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: Any) -> None:
    (tmp_path / "file").write_text("")
    assert command(["--output", str(tmp_path / "file" / "out")]) == 3
    assert "could not be made (Not a directory)" in capsys.readouterr().err


@pytest.mark.slow
def test_batches(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--model", str(tiny_checkpoint), "--sizes", "1,3", "--runs", "2", "--threads", "1"]
    assert batches.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[-3:]] == [f"| {', '.join(way)}" for way in batches.WAYS]
    assert all("(1.00)" in line for line in lines[-3:])
    monkeypatch.setattr(batches, "_CLOSE", dict.fromkeys(("float32", "reduced"), 1e-12))
    assert batches.main(arguments) == 3
    assert "standard deviations apart" in capsys.readouterr().err


@pytest.mark.parametrize("told", ["0", "1,x", "", "-2"])
def test_batches_of_no_size(told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert batches.main([f"--sizes={told}"]) == 3
    assert "--sizes must be whole numbers" in capsys.readouterr().err
