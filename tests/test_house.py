"""What the project promises about itself: rooms, weight, types, style."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import typecheck

ROOT = Path(__file__).parents[1]
ROOMS = {"cgsam_edge": ROOT / "cgsam_edge"} | {
    f"cgsam_edge.{name}": ROOT / name for name in ("export", "runtimes", "calibration")
}
HEAVY = {"torch", "torchvision", "onnx", "open_clip", "segment_anything", "openvino", "coremltools", "nncf"}
OWN_ENGINE = {"openvino.py": "openvino", "coreml.py": "coremltools"}
QUANTISERS = {"onnxruntime.py": {"onnx"}, "openvino.py": {"openvino", "nncf"}, "coreml.py": {"coremltools"}}
FORBIDDEN = {
    "cgsam_edge": {*HEAVY, "onnxruntime"},
    "cgsam_edge.runtimes": {*HEAVY, "cgsam_edge.export", "cgsam_edge.calibration"},
    "cgsam_edge.export": {"cgsam_edge.calibration"},
    "cgsam_edge.calibration": HEAVY,  # measuring works on a device; what quantises imports its engine on first use
}


def files(room: str) -> list[Path]:
    return list(ROOMS[room].rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", list(ROOMS))
def test_directions_of_imports(room: str) -> None:
    for path in files(room):
        for name in imports(path):
            bad = [f for f in FORBIDDEN[room] if name == f or name.startswith(f"{f}.")]
            if room == "cgsam_edge.runtimes":
                bad = [f for f in bad if f != OWN_ENGINE.get(path.name)]
            if path.parent == ROOMS["cgsam_edge.calibration"] / "quantise":
                bad = [f for f in bad if f not in QUANTISERS.get(path.name, set()) | {"torch"}]
            assert not bad, f"{path.relative_to(ROOT)} imports {name}"
            if room == "cgsam_edge" and name.startswith(("cgsam_edge.export", "cgsam_edge.calibration")):
                assert path.parent.name == "cli", f"{path.relative_to(ROOT)} imports {name}"


def test_packages_are_the_folders() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"packages = \[(.*?)\]", text, re.DOTALL)
    assert block
    listed = set(re.findall(r'"([\w.]+)"', block.group(1)))
    found = {"cgsam_edge.models"}  # data alone, which setuptools wants listed all the same
    for room, folder in ROOMS.items():
        for path in files(room):
            parts = path.parent.relative_to(folder).parts
            found.add(".".join((room, *parts)))
    assert listed == found


def test_import_is_light() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import cgsam_edge; took = time.perf_counter() - start\n"
        "engines = {'torch', 'onnxruntime', 'openvino', 'coremltools', 'cv2', 'numpy'} & set(sys.modules)\n"
        "import cgsam_edge.segmenter, cgsam_edge.cli\n"
        "late = {'torch', 'onnxruntime', 'openvino', 'coremltools'} & set(sys.modules)\n"
        "print(took, engines, late)"
    )
    times = []
    for _ in range(3):
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        took, rest = out.split(" ", 1)
        assert rest.strip() == "set() set()"
        times.append(float(took))
    assert min(times) < 0.3


def test_mypy_strict() -> None:
    code, printed = typecheck.check()
    assert code == 0, printed


def test_ruff() -> None:
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "."], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stdout + done.stderr
