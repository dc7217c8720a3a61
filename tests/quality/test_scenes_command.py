"""``python -m cgsam_edge.quality.scenes``: what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cgsam_edge.quality.scenes.__main__ import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["scenes", *map(str, arguments)])
    main()


def test_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "--count", 2, "--size", "40x20", "--output", tmp_path)
    assert capsys.readouterr().out == f"2 scenes → {tmp_path / 'images'}\n"
    assert [Image.open(file).size for file in (tmp_path / "images").iterdir()] == [(40, 20)] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--size", "foo"],
            "or 640x480 for width and height, at least 16 each, got 'foo'",
        ),
        (["--size", "40x8"], "got '40x8'"),
        (["--size", "40x"], "got '40x'"),
        (["--count", "-1"], "expected a whole number of 1 or more, got '-1'"),
        (["--count", "0"], "expected a whole number of 1 or more, got '0'"),
        (["--seed", "x"], "expected a whole number of 0 or more, got 'x'"),
    ],
)
def test_refusals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *arguments, "--output", tmp_path)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_file_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("mine")
    for output in (tmp_path / "mine", tmp_path / "mine" / "deep"):
        with pytest.raises(SystemExit):
            run(monkeypatch, "--output", output)
        assert f"argument --output: {output}: cannot be made, because" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(monkeypatch, "--output", "")
    assert "argument --output: expected a path, got ''" in capsys.readouterr().err


def test_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "--help")
    printed = capsys.readouterr().out
    assert "(default: 512)" in printed
    assert "`" not in printed
