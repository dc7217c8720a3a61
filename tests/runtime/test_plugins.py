"""Engines of other packages: a small one is installed, used, broken, and refused the name of a built-in one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cgsam_edge import shipped

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "tiny-engine"
version = "3.2"

[project.entry-points."cgsam_edge.backends"]
tiny = "tiny_engine:TinyBackend"
broken = "no_such_module:Backend"
misnamed = "tiny_engine:TinyBackend"
onnxruntime = "tiny_engine:TinyBackend"

[tool.setuptools]
py-modules = ["tiny_engine"]
"""

ENGINE = """
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend

class TinyBackend(OnnxRuntimeBackend):
    name = "tiny"

    def version(self):
        return "3.2"
"""

PROGRAM = """
import sys
from cgsam_edge import BackendError, Segmenter
from cgsam_edge.cli import main
from cgsam_edge.runtimes import registry
bundle = sys.argv[1]
print(registry.names(), "tiny_engine" in sys.modules)
print(type(registry.find("onnxruntime")).__name__)
with Segmenter(bundle, backend="tiny", device="cpu") as segmenter:
    print(segmenter.placement.backend, segmenter.placement.version, segmenter.placement.reason)
with Segmenter(bundle, device="cpu") as segmenter:
    print("auto", sorted(one.attempt.candidate.backend for one in segmenter.placement.tried if one.attempt.usable))
for name in ("broken", "no-such"):
    try:
        Segmenter(bundle, backend=name)
    except BackendError as error:
        print(error)
sys.exit(main(["doctor"]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "tiny_engine.py").write_text(ENGINE)
    target = folder / "installed"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(target), str(folder)], check=True)
    return target


@pytest.mark.slow
def test_an_installed_engine(installed: Path, fresh: Path, trials: None) -> None:
    path = os.pathsep.join((str(installed), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(shipped.BUNDLE)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    names = ("onnxruntime", "openvino", "coreml", "broken", "misnamed", "tiny")
    assert said[:4] == [
        f"{names} False",
        "OnnxRuntimeBackend",
        "tiny 3.2 forced",
        "auto ['onnxruntime', 'openvino', 'tiny']",
    ]
    broken = (
        "the backend 'broken' of the package tiny-engine 3.2 cannot be loaded (ModuleNotFoundError: No module named "
        "'no_such_module')."
    )
    assert said[4] == broken
    assert said[5] == f"no backend 'no-such'; expected 'auto' or one of {', '.join(map(repr, names))}."
    doctor = said[6:]
    assert "tiny 3.2" in doctor
    assert broken in doctor
    assert any("it calls itself 'tiny', its entry point 'misnamed'" in line for line in doctor)
    assert (
        "the backend 'onnxruntime' of the package tiny-engine 3.2 is ignored: a built-in backend has that name."
        in doctor
    )
