"""Everything that a device does, run where nothing of the export can be imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgsam_edge.bundle import Bundle
from cgsam_edge.quality.scenes import CONCEPTS
from cgsam_edge.quality.scenes.__main__ import write_scenes
from cgsam_edge.shipped import BUNDLE

BLOCKED = ("torch", "torchvision", "onnx", "onnxscript", "open_clip", "segment_anything", "nncf", "coremltools")

REFUSE = f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED!r}))\n"
"""A `sitecustomize`: names without a module are as good as not installed, in the children of a command too."""

RUN = """
import sys
from cgsam_edge.cli import main

bundle, scenes, calibrated, out = sys.argv[1:]
engine = ["--backend", "onnxruntime", "--threads", "1"]
labelled, many = (
    ["--images", f"{folder}/images", "--labels", f"{folder}/labels", "--classes", f"{folder}/classes.txt"]
    for folder in (scenes, f"{scenes}-more")
)
few = ["--concepts", "car,road"]
for command in (
    ["segment", f"{scenes}/images", "--bundle", bundle, *few, *engine, "--output", out],
    ["info", bundle],
    ["verify", bundle],
    ["doctor", bundle, "--threads", "1", "--refresh"],
    ["vocab", "list", bundle],
    ["plan", bundle, "--json"],
    ["pack", bundle, "--output", f"{out}/packed.zip"],
    ["eval", bundle, *labelled, *engine, "--output", f"{out}/eval"],
    ["calibrate", calibrated, *many, *engine],
    ["compare", bundle, calibrated, *labelled, *few, *engine, "--output", f"{out}/compare"],
    ["bench", bundle, "--backend", "onnxruntime", "--threads", "1", "--runs", "1", "--max-concepts", "1",
     "--json", f"{out}/bench.json", "--html", f"{out}/bench.html"],
    ["vocab", "remove", calibrated, "pole"],
):
    print("now", command[0], flush=True)
    code = main(command)
    assert code == 0, (command, code)
import cgsam_edge
with cgsam_edge.Segmenter(bundle) as segmenter:
    assert segmenter.encode(f"{scenes}/images/scene_003_00000.png").predict("car", points=[[20, 20]]).logits.any()
"""


@pytest.fixture(scope="module")
def blocked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which PyTorch and its kind cannot be imported."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "sitecustomize.py").write_text(REFUSE, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(folder)}


def python(code: str, *arguments: object, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_block_blocks(blocked: dict[str, str]) -> None:
    code = f"""
from importlib import import_module
from importlib.util import find_spec
import cgsam_edge.segmenter, cgsam_edge.cli
for name in {BLOCKED!r}:
    assert find_spec(name) is None
    try:
        import_module(name)
    except ModuleNotFoundError:
        print(name)
"""
    done = python(code, environment=blocked)
    assert done.stdout.split() == list(BLOCKED), done.stderr


@pytest.mark.slow
def test_every_command_of_a_device(blocked: dict[str, str], tmp_path: Path) -> None:
    """With the reference bundle and rendered scenes, whose labels come with them."""
    write_scenes(tmp_path / "scenes", 3, range(2), 128, 128)
    more = tmp_path / "scenes-more"
    write_scenes(more, 3, range(14), 128, 128)
    for path in (more / "labels").iterdir():  # cars, and all else as road: each concept costs its time
        labels = np.asarray(Image.open(path)) != CONCEPTS.index("car")
        Image.fromarray(labels.astype(np.uint8)).save(path)
    (more / "classes.txt").write_text("car\nroad\n", encoding="utf-8")
    copied = shutil.copytree(BUNDLE, tmp_path / "calibrated.cgsam")
    done = python(RUN, BUNDLE, tmp_path / "scenes", copied, tmp_path / "out", environment=blocked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "agrees with PyTorch" in done.stdout
    assert "chosen" in done.stdout
    assert {"scene_003_00000.json", "scene_003_00001.overlay.png"} <= {p.name for p in (tmp_path / "out").iterdir()}
    for name in ("eval/eval.json", "compare/report.json", "bench.json"):
        assert json.loads((tmp_path / "out" / name).read_text(encoding="utf-8")), name
    assert "pole" not in Bundle(copied).vocabulary.names


def test_new_concepts(blocked: dict[str, str], text_bundle: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(text_bundle, tmp_path / "learning.cgsam")
    code = f"from cgsam_edge.cli import main; assert main(['vocab', 'add', {str(copied)!r}, 'van']) == 0"
    done = python(code, environment=blocked)
    assert done.returncode == 0, done.stderr
    assert Bundle(copied).vocabulary.names[-1] == "van"


def test_the_export_says_what_it_lacks(blocked: dict[str, str]) -> None:
    code = "from cgsam_edge.cli import export_main; export_main(['--checkpoint', 'x', '--concepts', 'y'])"
    done = python(code, environment=blocked)
    assert "pip install 'cgsam-edge[export]'" in done.stderr
