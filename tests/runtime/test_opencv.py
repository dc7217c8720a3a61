"""OpenCV that is missing, or that cannot be loaded, as in every slim container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MISSING_GL = 'raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")\n'
NOT_THERE = "raise ModuleNotFoundError(\"No module named 'cv2'\", name='cv2')\n"

FROM_PYTHON = """
import cgsam_edge
try:
    {use}
except cgsam_edge.CgsamError as error:
    assert isinstance(error, ImportError), error
    print("caught:", error)
"""


def run(tmp_path: Path, broken: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python where ``import cv2`` does what a broken one does."""
    (tmp_path / "cv2.py").write_text(broken)
    search = os.pathsep.join([str(tmp_path), *([os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else [])])
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": search},
    )


@pytest.mark.parametrize("arguments", [("segment", "a.png"), ("doctor",)])
def test_the_command_line_names_both_ways_out(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code = "import sys; from cgsam_edge.cli import main; sys.exit(main(sys.argv[1:]))"
    done = run(tmp_path, MISSING_GL, "-c", code, *arguments)
    assert done.returncode == 3, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    for words in ("libGL.so.1", "pip install opencv-python-headless", "apt-get install libgl1 libglib2.0-0"):
        assert words in done.stderr


@pytest.mark.parametrize(
    "use", ["cgsam_edge.Segmenter()", "cgsam_edge.Video('a.mp4')", "cgsam_edge.Encoded", "cgsam_edge.Result"]
)
def test_python_gets_an_error_of_this_package(tmp_path: Path, use: str) -> None:
    done = run(tmp_path, MISSING_GL, "-c", FROM_PYTHON.format(use=use))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("caught: OpenCV cannot be loaded: libGL.so.1: ")
    assert "opencv-python-headless" in done.stdout


def test_opencv_that_is_not_installed(tmp_path: Path) -> None:
    done = run(tmp_path, NOT_THERE, "-c", FROM_PYTHON.format(use="cgsam_edge.Segmenter()"))
    assert done.stdout.startswith("caught: OpenCV is not installed: pip install opencv-python"), done.stderr
