"""What the project promises about itself: what is installed, what an import costs, types, style."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests import typecheck
from tests.source import ROOMS, ROOT

GIT = shutil.which("git")


def test_packages_are_the_folders() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"packages = \[(.*?)\]", text, re.DOTALL)
    assert block
    listed = re.findall(r'"([\w.]+)"', block.group(1))
    found = {"cgsam_edge.models"}  # data alone, which setuptools wants listed too
    for room, folder in ROOMS.items():
        for path in folder.rglob("*.py"):
            found.add(".".join((room, *path.parent.relative_to(folder).parts)))
    assert sorted(listed) == sorted(found)


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after running some code."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_import_is_light() -> None:
    """The package is a few small modules until something is asked of it; the engines wait for a bundle."""
    bare = loaded_by("")
    found = loaded_by("import cgsam_edge") - bare
    assert {name for name in found if name.startswith("cgsam_edge")} == {"cgsam_edge", "cgsam_edge._version"}
    assert not {"numpy", "cv2", "PIL"} & found
    assert len(found) < 30  # what `typing` brings along
    engines = {"torch", "onnxruntime", "openvino", "coremltools"}
    assert not engines & loaded_by("import cgsam_edge.segmenter, cgsam_edge.cli")


@pytest.mark.skipif(GIT is None or not (ROOT / ".git").exists(), reason="needs git and its checkout")
def test_the_tree_holds_no_links() -> None:
    """A checkout on Windows makes links only for those who have the right to."""
    listed = subprocess.run([str(GIT), "ls-files", "-s"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    modes = {line.split("\t")[1]: line.split()[0] for line in listed.splitlines()}
    assert len(modes) > 200
    assert [name for name, mode in modes.items() if mode == "120000"] == []


LARGE = ("cgsam_edge/models/", "training/checkpoints/", "tests/golden/", "docs/vectors/")
"""Where files over `LARGEST` belong: models, and outputs that others are compared with."""
LARGEST = 800_000


@pytest.mark.skipif(GIT is None or not (ROOT / ".git").exists(), reason="needs git and its checkout")
def test_the_tree_holds_no_stray_outputs() -> None:
    """Such as an engine's compiled graphs, of a run whose cache lay in the checkout."""
    listed = subprocess.run([str(GIT), "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    files = [ROOT / name for name in listed.split("\0") if name and (ROOT / name).exists()]
    stray = [file for file in files if file.suffix in {".blob", ".log"} or (file.stat().st_size > LARGEST)]
    assert [str(file) for file in stray if not file.relative_to(ROOT).as_posix().startswith(LARGE)] == []


@pytest.mark.slow
def test_mypy_strict() -> None:
    code, printed = typecheck.check()
    assert code == 0, printed


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=["rules", "format"])
def test_ruff(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "ruff", *arguments, "."]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
