"""The wheel and its extras can be installed from the package index on every Python and system that is promised.

pip resolves for other Pythons and systems without running them, from wheels alone. It judges environment markers
(``platform_system``) by the machine that it runs on, so the extra ``export`` is only resolved for Linux on x86-64.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
LINUX = ("manylinux_2_28_x86_64", "manylinux2014_x86_64")
ARM = ("manylinux_2_31_aarch64", "manylinux_2_28_aarch64", "manylinux2014_aarch64")  # OpenVINO's needs glibc 2.31
DEVICE = "onnxruntime,openvino,text"

SYSTEMS = {
    "linux-x86_64": (LINUX, DEVICE),
    "linux-x86_64-export": (LINUX, "export,completion"),
    "linux-aarch64": (ARM, DEVICE),
    "macos-arm64": (("macosx_14_0_arm64", "macosx_13_0_arm64", "macosx_11_0_arm64", "macosx_10_9_universal2"), DEVICE),
    "windows-amd64": (("win_amd64",), DEVICE),
}
"""Platform tags and extras by system."""

BOARDS = {
    "Raspberry Pi OS bookworm": ("3.11", 36, {"coreml"}),
    "Raspberry Pi OS trixie": ("3.13", 41, {"coreml"}),
    "Jetson with JetPack 6": ("3.10", 35, {"coreml", "onnxruntime-gpu"}),  # NVIDIA publishes that wheel elsewhere
    "Docker's slim image for arm64": ("3.13", 41, {"coreml"}),
}
"""64-bit Arm systems: Python, minor version of glibc 2, and the extras that cannot be installed there."""

EXTRAS = ("onnxruntime", "onnxruntime-gpu", "openvino", "text", "coreml")

EXPECTED = {
    DEVICE: {"numpy", "opencv-python", "pillow", "tqdm", "onnxruntime", "openvino", "tokenizers"},
    "export,completion": {"torch", "torchvision", "segment-anything", "open-clip-torch", "onnx", "nncf", "shtab"},
}
"""Packages that each set of extras must bring."""


def pip(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=800
    )


def resolve(wanted: str, python: str, platforms: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """Have pip choose versions, without downloading them; the choice is in ``report.json``."""
    tags = [part for platform in platforms for part in ("--platform", platform)]
    return pip(
        "install", "--quiet", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--implementation", "cp",
        "--python-version", python, *tags, "--target", folder / "none", "--report", folder / "report.json", wanted,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    found = resolve("tqdm", PYTHONS[0], LINUX, folder)
    if found.returncode:
        pytest.skip(f"no package index: {found.stderr.strip()[-200:]}")
    ignore = shutil.ignore_patterns(".git", ".venv", "build", "site", "dist", "*.egg-info", ".*_cache", "__pycache__")
    source = shutil.copytree(ROOT, folder / "source", ignore=ignore)
    done = pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_dependency_has_a_wheel(wheel: Path, tmp_path: Path, system: str, python: str) -> None:
    platforms, extras = SYSTEMS[system]
    found = resolve(f"{wheel}[{extras}]", python, platforms, tmp_path)
    assert found.returncode == 0, f"{system}, Python {python}, [{extras}]: {found.stderr.strip()[-2000:]}"
    chosen = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["install"]
    names = {one["metadata"]["name"].lower().replace("_", "-") for one in chosen}
    assert EXPECTED[extras] <= names, f"{system}, Python {python}: {sorted(EXPECTED[extras] - names)} missing"


@pytest.mark.slow
def test_a_python_that_is_not_promised_is_refused(wheel: Path, tmp_path: Path) -> None:
    """The same question for Python 3.9 has the answer no, so that the test above could fail."""
    found = resolve(f"{wheel}[{DEVICE}]", "3.9", LINUX, tmp_path)
    assert found.returncode != 0
    assert "requires a different python" in found.stderr.lower() or "no matching distribution" in found.stderr.lower()


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS)
def test_what_can_be_installed_on_an_arm_board_is_known(wheel: Path, tmp_path: Path, board: str) -> None:
    """Each extra alone; the message names what fails, or what has become possible."""
    python, glibc, expected = BOARDS[board]
    platforms = (*(f"manylinux_2_{minor}_aarch64" for minor in range(glibc, 16, -1)), "manylinux2014_aarch64")
    errors = {
        extra: found.stderr.strip()[-300:]
        for extra in EXTRAS
        if (found := resolve(f"{wheel}[{extra}]", python, platforms, tmp_path)).returncode
    }
    assert set(errors) == expected, f"{board}, Python {python}: {errors}"
