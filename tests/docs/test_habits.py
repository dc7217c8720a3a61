"""What users of other command lines take for granted."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cgsam_edge.cli import main
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
