"""The wheel in a clean environment, from outside the checkout: what a device gets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUNTIME_LIMIT = 480e6

USE = """
import sys
import cgsam_edge
with cgsam_edge.Segmenter() as segmenter:
    print(segmenter.segment(sys.argv[2], "car")["car"].present, segmenter.concepts)
with cgsam_edge.Segmenter(sys.argv[1]) as segmenter:
    result = segmenter.segment(sys.argv[2], ["car"])
    print(result["car"].mask.shape, cgsam_edge.__file__)
assert "torch" not in sys.modules
try:
    import torch
except ImportError:
    print("no torch")
"""


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_wheel_in_a_clean_environment(tiny_bundle: Path, picture_file: Path, tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns(
        ".git", ".venv", ".tools", "build", "site", "dist", "*.egg-info", ".*_cache", "__pycache__", "node_modules"
    )
    copied = shutil.copytree(ROOT, tmp_path / "source", ignore=ignore)  # others read the checkout meanwhile
    run(sys.executable, "-m", "build", "--outdir", tmp_path, copied, cwd=tmp_path)  # the wheel is built from the sdist
    (wheel,), (source,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source, cwd=tmp_path)
    names = zipfile.ZipFile(wheel).namelist()
    inside = {"cgsam_edge/py.typed", "cgsam_edge/export/pipeline.py", "cgsam_edge/runtimes/onnxruntime.py"}
    assert inside <= set(names)
    assert not [n for n in names if n.startswith(("export/", "tests/", "training/", "benchmarks/"))]
    venv.create(tmp_path / "env", with_pip=True)
    scripts = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    run(scripts / "python", "-m", "pip", "install", "--quiet", f"{wheel}[onnxruntime]", cwd=tmp_path)
    if subprocess.run([scripts / "python", "-c", "import cv2"], check=False, capture_output=True).returncode:
        pip = (scripts / "python", "-m", "pip")  # a system without a display: as the Makefile does
        run(*pip, "uninstall", "--quiet", "--yes", "opencv-python", cwd=tmp_path)
        run(*pip, "install", "--quiet", "--no-deps", "opencv-python-headless>=4.9,<6", cwd=tmp_path)
    out = run(scripts / "python", "-c", USE, tiny_bundle, picture_file, cwd=tmp_path)
    assert "'bicyclist'" in out
    assert "(64, 96)" in out
    assert "no torch" in out
    assert str(ROOT) not in out
    size = sum(f.stat().st_size for f in (tmp_path / "env").rglob("*") if f.is_file() and not f.is_symlink())
    assert size < RUNTIME_LIMIT, f"{size / 1e6:.0f} MB"
    print(f"runtime environment: {size / 1e6:.0f} MB")  # noqa: T201
    assert run(scripts / "cgsam-edge", cwd=tmp_path) == run(scripts / "cgsam", cwd=tmp_path)
    assert "sky" in run(scripts / "cgsam", "demo", cwd=tmp_path)
    run(scripts / "cgsam", "info", tiny_bundle, cwd=tmp_path)
    run(scripts / "cgsam", "verify", tiny_bundle, cwd=tmp_path)
    diagnosis = run(scripts / "cgsam", "doctor", tiny_bundle, cwd=tmp_path)
    assert "openvino is not installed: pip install 'cgsam-edge[openvino]'" in diagnosis
    assert "choice: onnxruntime on CPU (the only candidate here)" in diagnosis
    refused = subprocess.run(
        [scripts / "cgsam-export", "--checkpoint", "x", "--concepts", "y"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 3
    assert "pip install 'cgsam-edge[export]'" in refused.stderr
