"""A value that an option cannot have is wrong usage: exit code 2, the option's name, and what was expected."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgsam_edge.cli import main, make_parser
from cgsam_edge.cli.reference import commands
from cgsam_edge.cli.values import device, number
from cgsam_edge.runtimes import survey
from cgsam_edge.runtimes.protocol import Device, max_threads
from cgsam_edge.runtimes.survey import Engine
from tests.commands import cgsam, fails
from tests.conftest import slow

WRONG = {
    "serve --port 99999": "a whole number from 0 to 65535",
    "serve --waiting -1": "a whole number of 0 or more",
    "serve --workers 0": "a whole number of 1 or more",
    "serve --timeout 0": "a number of 0.01 or more",
    "serve --max-megapixels 101": "a number above 0 to 100",
    "segment a.png --threads 0": f"a whole number from 1 to {max_threads()}",
    "segment a.png --soc 10000": "a whole number from 1 to 9999",
    "segment a.png --max-concepts 0": "a whole number of 1 or more",
    "segment a.png --time-budget 0": "a number above 0",
    "segment a.png --smooth 1": "a number from 0 to 0.95",
    "segment a.png --point nan,1": "2 numbers separated by commas",
    "eval --images i --labels l --clicks 0": "a whole number of 1 or more",
    "eval --images i --labels l --overlap 0.95": "a number from 0 to 0.9",
    "compare a b --output o --count 0": "a whole number of 1 or more",
    "calibrate b --images i --labels l --max-recall-loss 1": "a number from 0 to below 1",
    "compile b --output o --soc 57,0": "numbers with commas, such as 57,69",
    "label p --to coco --output o --min-area 1.5": "pixels, such as 200, or a share, such as 0.001",
    "bench --minutes -1": "a number of 0 or more",
    "bench --runs 0": "a whole number of 1 or more",
    "export --concepts c --prompt-slots 0": "a whole number of 1 or more",
    "export --concepts c --calibration-count 7": "a whole number of 8 or more",
    "export --concepts c --gate-count -1": "a whole number of 0 or more",
    "export --concepts c --min-iou 1.1": "a number from 0 to 1",
    "export --concepts c --smoothing 2": "a number from 0 to 1",
    "export --concepts c --threshold 1": "a number above 0 to below 1",
    "export --concepts c --max-size 0MB": "a size such as 120MB",
}


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_value_is_wrong_usage(command: str, tmp_path: Path) -> None:
    option, value = command.split()[-2:]
    fails(
        cgsam(*command.split(), cwd=tmp_path), 2, f"argument {option}", f"expected {WRONG[command]}", f"got '{value}'"
    )


@pytest.mark.parametrize(
    "command",
    ["segment a.png", slow("serve"), slow("compare a b --output o"), "verify", "bench", "doctor b"],
)
def test_a_device_that_no_engine_has_is_wrong_usage(command: str, tmp_path: Path) -> None:
    done = cgsam(*command.split(), "--device", "foo", cwd=tmp_path)
    fails(done, 2, "argument --device: no engine has a device 'foo'; expected auto, cpu, gpu, npu, or one of TensorRT")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["auto", "GPU", "cuda", "GPU.1", "HTP", "CPU_AND_NE", "qnn"])
def test_a_device_that_an_engine_has_elsewhere_is_no_wrong_usage(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "engines", lambda: [Engine("plugin", "1", "", (), (Device("HTP", "npu"),))])
    assert device(name) == name


def test_an_image_size_is_refused_with_the_nearest(tmp_path: Path) -> None:
    done = cgsam("export", "--concepts", "c", "--image-size", "300", cwd=tmp_path)
    fails(done, 2, "argument --image-size", "the nearest is 256 or 320")


def _numbers(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.type in (int, float) and action.choices is None:
            yield f"{parser.prog} {action.option_strings[0]}"
    for command in commands(parser).values():
        yield from _numbers(command)


def test_every_number_has_a_range() -> None:
    assert list(_numbers(make_parser())) == []


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--backend", "nix"], 2, "argument --backend: no backend 'nix'; expected 'auto' or one of"),
        (["--backend", "openvino"], 2, "--backend: for choosing what runs a bundle; name the bundle too"),
        (["--device", "gpu", "--threads", "2", "--refresh"], 2, "--device, --threads, --refresh: for choosing"),
    ],
)
def test_doctor_chooses_for_a_bundle_only(options: list[str], code: int, words: str, tmp_path: Path) -> None:
    done = cgsam("doctor", *options, cwd=tmp_path)
    assert done.returncode == code
    assert words in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "segment a.png --backend nix",
            "argument --backend: no backend 'nix'; expected 'auto' or one of 'onnxruntime'",
        ),
        ("segment {picture} --concepts ,", "--concepts names no concept"),
        ("segment {picture} --soc 57", "--soc 57 names a chip of Qualcomm; give --device qnn too"),
        ("segment {picture} --margin 5", "--margin is for --blur"),
        ("segment {picture} --overlap 0.5", "--overlap is for tiles"),
        ("segment {picture} --container webm", "--container is for videos"),
        (
            "segment a.png --box 10,10,5,5",
            "argument --box: expected the left upper corner and then the right",
        ),
        ("segment 0 --every 5", "--every is not for cameras"),
        ("eval --images i --labels l --clicks 3", "--clicks is for --mode clicks"),
        ("compare a b --output o --concepts ,", "--concepts names no concept"),
        ("label p --to coco --output o --concepts ,", "--concepts names no concept"),
        ("plan b --device foo", "argument --device: no published figures for 'foo'. Known: pi5"),
        ("serve --host 0.0.0.0", "--host 0.0.0.0 lets other machines in, which needs a token"),
        ("export --concepts c --target foo", "no target 'foo'; expected one of onnxruntime"),
        ("export --concepts c --gate-labels l", "--gate-labels needs --gate-images"),
        ("export --concepts c --image-size auto --gate-count 0", "--gate-count must not be 0"),
        ("pack b --target foo", "argument --target: invalid choice: 'foo'"),
        ("verify --precision nix", "argument --precision: invalid choice: 'nix'"),
        ("vocab add b car --backend nix", "argument --backend: no backend 'nix'"),
    ],
)
def test_a_wrong_command_line_is_wrong_usage(command: str, words: str, tmp_path: Path, picture_file: Path) -> None:
    fails(cgsam(*command.format(picture=picture_file).split(), cwd=tmp_path), 2, words)


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e400"])
def test_a_number_is_finite(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number of 0 or more"):
        number()(text)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("IMAGE", ["segment", "", "--concepts", "car"]),
        ("--output", ["segment", "a.png", "--output="]),
        ("--bundle", ["segment", "a.png", "--bundle", ""]),
        ("SOURCE", ["label", "", "--to", "coco", "--output", "o"]),
        ("--output", ["label", "p", "--to", "coco", "--output", ""]),
        ("bundle", ["info", ""]),
        ("--images", ["eval", "--images", "", "--labels", "l"]),
        ("--output", ["export", "--concepts", "c", "--output", ""]),
    ],
)
def test_an_empty_path_is_wrong_usage(name: str, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(command)
    assert stopped.value.code == 2
    assert f"argument {name}: expected a path, got '' (is a variable not set?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["eval", "--images", "i", "--labels", "l"], ["compare", "a", "b"], ["demo"]], ids=lambda one: one[0]
)
def test_a_file_in_place_of_the_folder_is_refused_first(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("mine")
    assert main([*command, "--output", str(tmp_path / "mine")]) == 3
    text = f"{tmp_path / 'mine'}: cannot be made, because a file of that name exists. Name a folder with --output."
    assert text in capsys.readouterr().err
