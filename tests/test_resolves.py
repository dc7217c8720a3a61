"""The wheel and its extras can be installed from the package index on every Python and system that is promised.

uv resolves for other Pythons and systems without running them, and reads the metadata of wheels without the wheels
themselves, which for PyTorch alone would be gigabytes.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
DEVICE = "onnxruntime,openvino,text"
EXPORT = "export,completion"

SYSTEMS = {
    "linux-x86_64": "x86_64-manylinux_2_28",
    "linux-aarch64": "aarch64-manylinux_2_31",  # OpenVINO's wheels need glibc 2.31
    "macos-arm64": "aarch64-apple-darwin",
    "windows-amd64": "x86_64-pc-windows-msvc",
}
"""uv's names of the systems that are promised."""

BOARDS = {
    "Raspberry Pi OS bookworm": ("3.11", 36, {"coreml"}),
    "Raspberry Pi OS trixie": ("3.13", 40, {"coreml"}),  # it has 2.41, uv knows up to 2.40
    "Jetson with JetPack 6": ("3.10", 35, {"coreml", "onnxruntime-gpu"}),  # NVIDIA publishes that wheel elsewhere
    "Docker's slim image for arm64": ("3.13", 40, {"coreml"}),
}
"""64-bit Arm systems: Python, minor version of glibc 2, and the extras that cannot be installed there."""

EXTRAS = ("onnxruntime", "onnxruntime-gpu", "openvino", "text", "video", "coreml", "serve")

EXPECTED = {
    DEVICE: {"numpy", "opencv-python", "pillow", "tqdm", "onnxruntime", "openvino", "tokenizers"},
    EXPORT: {"torch", "torchvision", "segment-anything", "open-clip-torch", "onnx", "nncf", "shtab"},
}
"""Packages that each set of extras must bring."""


def resolve(wanted: str, python: str, system: str) -> subprocess.CompletedProcess[str]:
    """Have uv choose versions from wheels alone; its output has a line ``name==version`` for each."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate"]
    here = ["--no-python-downloads", "--python", sys.executable]  # it would fetch the other Pythons otherwise
    only = ["--only-binary", ":all:", "--python-version", python, "--python-platform", system, "-"]
    whole = [*command, *here, *only]
    return subprocess.run(whole, input=wanted, capture_output=True, text=True, check=False, timeout=800)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the wheel; return what a requirement for it says after the extras."""
    if not importlib.util.find_spec("uv"):
        pytest.skip("uv is not installed; the extra dev brings it")
    found = resolve("tqdm", PYTHONS[0], SYSTEMS["linux-x86_64"])
    if found.returncode:
        pytest.skip(f"no package index: {found.stderr.strip()[-200:]}")
    folder = tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns(
        ".git", ".venv", ".tools", "build", "site", "dist", "*.egg-info", ".*_cache", "__pycache__", "node_modules"
    )
    source = shutil.copytree(ROOT, folder / "source", ignore=ignore)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl")).as_uri()


@pytest.mark.slow
@pytest.mark.parametrize("extras", EXPECTED)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_dependency_has_a_wheel(wheel: str, system: str, python: str, extras: str) -> None:
    found = resolve(f"cgsam-edge[{extras}] @ {wheel}", python, SYSTEMS[system])
    assert found.returncode == 0, f"{system}, Python {python}, [{extras}]: {found.stderr.strip()[-2000:]}"
    names = {line.partition("==")[0] for line in found.stdout.splitlines()}
    assert EXPECTED[extras] <= names, f"{system}, Python {python}: {sorted(EXPECTED[extras] - names)} missing"


@pytest.mark.slow
def test_a_python_that_is_not_promised_is_refused(wheel: str) -> None:
    """The same question for Python 3.9 has the answer no, so that the test above could fail."""
    found = resolve(f"cgsam-edge[{DEVICE}] @ {wheel}", "3.9", SYSTEMS["linux-x86_64"])
    assert found.returncode != 0
    assert "Python>=3.10" in found.stderr


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS)
def test_what_can_be_installed_on_an_arm_board_is_known(wheel: str, board: str) -> None:
    """Each extra alone; the message names what fails, or what has become possible."""
    python, glibc, expected = BOARDS[board]
    errors = {
        extra: found.stderr.strip()[-300:]
        for extra in EXTRAS
        if (found := resolve(f"cgsam-edge[{extra}] @ {wheel}", python, f"aarch64-manylinux_2_{glibc}")).returncode
    }
    assert set(errors) == expected, f"{board}, Python {python}: {errors}"
