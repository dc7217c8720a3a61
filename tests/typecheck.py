"""mypy over the tree as it is installed: ``python -m tests.typecheck``.

Three folders of the checkout are installed as subpackages of `cgsam_edge`, which type checkers cannot be told. So the
tree is copied in its installed form, and mypy reads that; messages still name the files of the checkout.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("export", "runtimes", "calibration")
OTHERS = ("tests", "training", "benchmarks")


def lay_out(target: Path) -> Path:
    """Copy all code into ``target`` as it is installed, times of the files included: mypy's cache goes by them."""
    shutil.rmtree(target, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.cgsam", "*.safetensors", "*.npz")
    shutil.copytree(ROOT / "cgsam_edge", target / "cgsam_edge", ignore=ignore)
    for room in ROOMS:
        shutil.copytree(ROOT / room, target / "cgsam_edge" / room, ignore=ignore)
    for name in OTHERS:
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    shutil.copy2(ROOT / "pyproject.toml", target)
    return target


def check() -> tuple[int, str]:
    """Run mypy, and return its exit code and what it prints."""
    tree = lay_out(ROOT / "build" / "typecheck")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache"), "cgsam_edge", *OTHERS],
        capture_output=True, text=True, check=False, cwd=tree,
    )  # fmt: skip
    text = done.stdout + done.stderr
    for room in ROOMS:
        text = text.replace(f"cgsam_edge/{room}/", f"{room}/")
    return done.returncode, text


if __name__ == "__main__":
    code, printed = check()
    sys.stdout.write(printed)
    sys.exit(code)
