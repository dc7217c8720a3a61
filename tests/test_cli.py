"""The command line as a user meets it."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from cgsam_edge import shipped
from cgsam_edge.cli import make_parser
from cgsam_edge.cli.command_parser import CommandParser
from cgsam_edge.written_files import png_mark
from tests.commands import cgsam, fails
from tests.conftest import executable


def test_the_console_script_is_this_command_line(tmp_path: Path) -> None:
    for arguments, code in (["--version"], 0), (["info", "nowhere.cgsam"], 3), (["eval"], 2):
        done = subprocess.run(
            [executable("cgsam"), *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        here = cgsam(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (code, here.stdout, here.stderr)
        assert here.returncode == code


def test_segment_one_image(tiny_bundle: Path, picture_file: Path, tmp_path: Path) -> None:
    done = cgsam(
        "segment", picture_file, "--bundle", tiny_bundle, "--concepts", "car,shrub", "--output", "out", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "scene.png: car" in done.stdout
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"scene.overlay.png", "scene.json"}
    document = json.loads((tmp_path / "out" / "scene.json").read_text())
    assert [a["category"] for a in document["annotations"]] == ["car", "tree"]
    assert coco.decode(document["annotations"][0]["segmentation"]).shape == (document["height"], document["width"])
    assert Image.open(tmp_path / "out" / "scene.overlay.png").height == 64


def test_segment_with_clicks_and_box(tiny_bundle: Path, picture_file: Path, tmp_path: Path) -> None:
    prompt = ["--point", "10,20.5", "--point", "30,30", "--not-point", "60,60", "--box", "1,2,90,60"]
    done = cgsam("segment", picture_file, "--bundle", tiny_bundle, "--concepts", "car", *prompt, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads((tmp_path / "scene.json").read_text())["annotations"]
    assert entry["points"] == [[10, 20.5], [30, 30], [60, 60]]
    assert (entry["labels"], entry["box"]) == ([1, 1, 0], [1, 2, 90, 60])


def test_segment_a_folder_skips_what_is_broken_and_says_so(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "b.png"):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / name)
    (folder / "c.jpg").write_text("broken")
    (folder / "notes.txt").write_text("not an image")
    Image.new("RGB", (9, 9)).save(folder / "a.overlay.png", pnginfo=png_mark())
    done = cgsam("segment", "photos", "--bundle", tiny_bundle, "--concepts", "car", "--output", "out", cwd=tmp_path)
    fails(done, 3, "c.jpg: not an image", "1 of 4 images could not be used")
    made = {p.name for p in (tmp_path / "out").glob("*.json")}
    assert made == {"a.json", "b.jpg.json", "b.png.json"}
    globbed = cgsam("segment", "photos/?.png", "--bundle", tiny_bundle, "--concepts", "car", cwd=tmp_path)
    assert globbed.returncode == 0
    assert {p.name for p in tmp_path.glob("*.json")} == {"a.json", "b.json"}


def test_no_login_of_a_misspelt_address_is_shown(tiny_bundle: Path, picture_file: Path, tmp_path: Path) -> None:
    bundle = ["--bundle", tiny_bundle]
    begun = "rtsp:/user:p@ss@127.0.0.1:1/cam"
    for typed, shown in ((begun, "rtsp:/***@127.0.0.1:1/cam"), (begun[6:], "***@127.0.0.1:1/cam")):
        done = cgsam("segment", typed, *bundle, cwd=tmp_path)
        fails(done, 3, f"{shown}: no such file")
        assert "ss@" not in done.stderr
    done = cgsam("segment", picture_file, "--camera", "rtsp://user:p@ss@h/cam", cwd=tmp_path)
    fails(done, 2, "unrecognized arguments: --camera rtsp://***@h/cam")
    assert "ss@" not in done.stderr
    fails(cgsam("segment", "a@b.jpg", *bundle, cwd=tmp_path), 3, "a@b.jpg: no such file")


def test_segment_bad_input(tiny_bundle: Path, picture_file: Path, tmp_path: Path) -> None:
    bundle = ["--bundle", tiny_bundle]
    fails(cgsam("segment", "nowhere.png", *bundle, cwd=tmp_path), 3, "nowhere.png: no such file")
    fails(cgsam("segment", ".", *bundle, cwd=tmp_path), 3, "folder without images")
    (tmp_path / "outer/inner").mkdir(parents=True)
    below = "those in folders below it are named by a glob: 'outer/**/*.png'"
    fails(cgsam("segment", "outer", *bundle, cwd=tmp_path), 3, below)
    fails(cgsam("segment", picture_file, *bundle, "--concepts", "cra", cwd=tmp_path), 3, "Did you mean 'car'?")
    fails(cgsam("segment", picture_file, *bundle, "--point", "1,1", cwd=tmp_path), 2, "exactly one concept")
    outside = ["--concepts", "car", "--point", "500,1"]
    fails(cgsam("segment", picture_file, *bundle, *outside, cwd=tmp_path), 3, "outside the image of 96x64")
    wrong = "--point: expected 2 numbers separated by commas, got 'one'"
    fails(cgsam("segment", picture_file, *bundle, "--point", "one", cwd=tmp_path), 2, wrong)
    fails(cgsam("segment", picture_file, *bundle, "--concepts", " ,", cwd=tmp_path), 2, "names no concept")
    fails(cgsam("segment", picture_file, "--bundle", "no.cgsam", cwd=tmp_path), 3, "no.cgsam: no such bundle")
    fails(cgsam("segment", picture_file, *bundle, "--backend", "tpu", cwd=tmp_path), 2, "no backend 'tpu'")
    fails(cgsam("segmnet", cwd=tmp_path), 2, "COMMAND")


def test_results_that_cannot_be_written(tiny_bundle: Path, picture_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    done = cgsam("segment", picture_file, "--bundle", tiny_bundle, "--output", "out", cwd=tmp_path)
    fails(done, 3, "out: cannot be made")


def test_info(tiny_bundle: Path, tmp_path: Path) -> None:
    done = cgsam("info", tiny_bundle, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in (
        "tree | shrub",
        "concept  fp32",
        "all files verified",
        "onnxruntime, opset 20",
        "mask IoU 1.0000",
        "in  pixels 1×3×128×128",
    ):
        assert words in done.stdout
    fails(cgsam("info", tmp_path, cwd=tmp_path), 3, "not a bundle")


def test_info_says_how_many_layers_are_in_float(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "mixed.cgsam"
    shutil.copytree(tiny_bundle, path)
    held = json.loads((path / "manifest.json").read_text())
    one = {"target": "onnxruntime", "graph": "concept", "layer": "blocks.1.lin1", "reason": ""}
    held["quality"] = {"kept": [one, {**one, "layer": "blocks.1.lin2"}, {**one, "target": "openvino"}, "odd"]}
    (path / "manifest.json").write_text(json.dumps(held))
    lines = cgsam("info", path, cwd=tmp_path).stdout.splitlines()
    [concept], [image] = ([line for line in lines if line.startswith(f"  {name} ")] for name in ("concept", "image  "))
    assert concept.endswith("multiply-adds, 2 layers put back in float")
    assert image.endswith("multiply-adds")


def test_info_without_a_bundle_shows_the_shipped_one(tmp_path: Path) -> None:
    done = cgsam("info", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{shipped.BUNDLE}: ")
    assert "bicyclist | cyclist" in done.stdout


@pytest.mark.parametrize("command", ["info", "verify", "bench", "plan", "eval --images i --labels l"])
def test_a_bundle_that_is_left_out_is_the_shipped_one(command: str) -> None:
    assert make_parser().parse_args(command.split()).bundle == shipped.BUNDLE


def test_help_suffices(tmp_path: Path) -> None:
    assert "exit codes" in cgsam("--help", cwd=tmp_path).stdout
    for command in ("segment", "info", "verify", "doctor", "export"):
        assert cgsam(command, "--help", cwd=tmp_path).returncode == 0
    text = cgsam("export", "--help", cwd=tmp_path).stdout
    assert all(flag in text for flag in ("--clip", "torch.jit.load", "--prompt-slots", "--trained-for", "synonyms"))


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        ("segment", "a.png"),
        ("label", "a --to coco --output b"),
        ("vocab list", "x.cgsam"),
        ("demo", ""),
        ("verify", "x.cgsam"),
    ],
)
def test_an_unknown_option_shows_the_usage_of_its_command(command: str, rest: str, tmp_path: Path) -> None:
    done = cgsam(*command.split(), *rest.split(), "--no-such-option", cwd=tmp_path)
    fails(done, 2, f"usage: cgsam {command} ", f"cgsam {command}: error: unrecognized arguments: --no-such-option")


def test_every_command_refuses_unknown_arguments_itself() -> None:
    parsers = [make_parser()]
    for parser in parsers:
        assert isinstance(parser, CommandParser)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    assert len(parsers) > 20
