"""What users of other command lines take for granted."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cgsam_edge.cli import main, make_export_parser
from cgsam_edge.cli.inputs import find_images


@pytest.mark.parametrize("option", ["--point", "--not-point", "--box"])
def test_coordinates_below_zero_are_read(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30)).save("a.png")
    value = "-5,3,20,20" if option == "--box" else "-5,3"
    code = main(["segment", "a.png", "--concepts", "car", option, value, "--backend", "onnxruntime"])
    message = capsys.readouterr().err
    assert "expected one argument" not in message  # argparse took -5,3 for an option
    assert code == 3
    assert "outside the image of 40x30" in message


def test_a_file_in_two_spellings_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save("photos/a.png")
    Image.new("RGB", (8, 8)).save("photos/b.png")
    spelled = ["photos/a.png", "./photos/../photos/a.png", str(tmp_path / "photos" / "a.png"), "photos", "photos/*.png"]
    assert list(find_images(spelled)) == [Path("photos/a.png"), Path("photos/b.png")]


@pytest.mark.parametrize(
    ("typed", "precision", "size"),
    [([], None, None), (["--half"], "fp16", None), (["--int8"], "int8", None), (["--imgsz", "768"], None, 768)],
)
def test_names_that_other_exporters_use(typed: list[str], precision: str | None, size: int | None) -> None:
    options = make_export_parser().parse_args(["--concepts", "c.txt", *typed])
    assert (options.precision, options.image_size) == (precision, size)


def test_two_precisions_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        make_export_parser().parse_args(["--concepts", "c.txt", "--half", "--int8"])
    assert error.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_what_most_people_need_of_an_export_fits_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    first = make_export_parser().format_help().split("\n\nprompts and Core ML:")[0]
    assert len(first.splitlines()) <= 40
    assert all(option in first for option in ("--checkpoint", "--concepts", "--output", "--target", "--precision"))
