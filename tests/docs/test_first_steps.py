"""What a new user meets first: ``cgsam`` alone, ``cgsam demo``, and completion."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import shipped
from cgsam_edge.cli import main
from cgsam_edge.quality.demo import choice, demo_scene
from cgsam_edge.quality.scenes import CONCEPTS
from tests.conftest import executable


def test_the_command_alone_says_what_to_do_first() -> None:
    done = subprocess.run([executable("cgsam")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cgsam demo" in done.stdout
    assert "cgsam-export" in done.stdout


def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["dmeo"])
    assert error.value.code == 2
    assert "dmeo" in capsys.readouterr().err


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    scene, overlay, clicks = (Image.open(tmp_path / "out" / f"street{end}.png") for end in ("", ".overlay", ".clicks"))
    chosen = choice()
    np.testing.assert_array_equal(np.asarray(scene), demo_scene(chosen.series, chosen.scene).image)
    assert overlay.size[0] > scene.size[0]
    assert clicks.size[0] > 2 * scene.size[0]
    left, right = np.asarray(clicks)[40:, :512], np.asarray(clicks)[40:, 524:]
    assert (left != right).any(axis=2).mean() > 0.001  # clicks change the mask
    assert (np.asarray(overlay)[:, :512] != np.asarray(scene)).any(axis=2).mean() > 0.5
    assert len(printed[printed.index("Next:") :].strip().splitlines()) == 3
    assert "sky" in printed


def test_demo_refuses_a_file_in_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    assert main(["demo", "--output", str(tmp_path / "out")]) == 3
    assert "cannot be made" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_the_scene_was_chosen_by_rule_from_the_held_out_series() -> None:
    held = json.loads(shipped.DEMO.read_text(encoding="utf-8"))
    assert held["series"] == 1  # training saw 0; presence was calibrated on 2
    assert held["scenes"] == 200
    assert 50 < held["among"] < 200
    labels = demo_scene(held["series"], held["scene"]).labels
    for concept in ("car", "road"):  # what the first examples ask for
        assert (labels == CONCEPTS.index(concept)).mean() >= 0.01
    assert held["median"]["right"] < held["right"] < 1
    clicks = held["clicks"]
    assert clicks["concept"] in CONCEPTS
    assert clicks["iou_with_clicks"] - clicks["iou_from_name"] >= 0.3


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "segment" in script
    assert "max-concepts" in script


def test_bash_takes_the_completion_script(tmp_path: Path) -> None:
    script = subprocess.run(
        [executable("cgsam"), "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "cgsam").write_text(script)
    typed = (
        f"source {tmp_path}/cgsam; COMP_WORDS=(cgsam seg); COMP_CWORD=1; "
        "$(complete -p cgsam | sed 's/.*-F \\([^ ]*\\).*/\\1/'); echo \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["segment"], done.stderr
