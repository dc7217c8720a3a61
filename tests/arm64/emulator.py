"""Running the device half of the package with an arm64 Python, under QEMU's user-mode emulation.

`root.sh` unpacks what that needs into `build/arm64`; nothing here fetches anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.source import ROOT

HOME = Path(os.environ.get("CGSAM_ARM64", ROOT / "build" / "arm64"))
QEMU = "qemu-aarch64-static"
CPU = "cortex-a72"
"""Of a Raspberry Pi 4: the oldest instructions that the wheels need; newer processors only add to them."""


def missing() -> str:
    """Return what the emulation lacks here and how to get it; empty where it can run."""
    if shutil.which(QEMU) is None:
        return f"{QEMU} is not installed: apt-get install qemu-user-static"
    if not (HOME / "done-3").exists():
        return f"{HOME} holds no arm64 system: tests/arm64/root.sh {HOME}"
    return ""


def package() -> Path:
    """Return a folder that holds the package as it is installed, by links."""
    made = HOME / "package"
    shutil.rmtree(made, ignore_errors=True)
    (made / "cgsam_edge").mkdir(parents=True)
    for path in (ROOT / "cgsam_edge").iterdir():
        if path.name != "__pycache__":
            (made / "cgsam_edge" / path.name).symlink_to(path)
    for name in ("runtimes", "export", "calibration"):  # as in the wheel
        (made / "cgsam_edge" / name).symlink_to(ROOT / name)
    return made


def command(*arguments: str) -> list[str]:
    """Return the command that runs the emulated Python."""
    root = HOME / "root"
    libraries = ":".join(str(root / place / "aarch64-linux-gnu") for place in ("lib", "usr/lib"))
    environment = {
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": f"{package()}:{HOME / 'site'}:{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LD_LIBRARY_PATH": libraries,
        "CGSAM_CACHE": str(HOME / "cache"),
        "CGSAM_TRIAL": "never",  # children would be arm64 programs, which this system cannot start by itself
    }
    settings = [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
    return [QEMU, "-cpu", CPU, "-L", str(root), *settings, str(root / "usr" / "bin" / "python3.11"), *arguments]


def run(*arguments: str, timeout: float = 3600) -> str:
    """Run the emulated Python and return what it printed.

    Raises:
        RuntimeError: it failed; the message holds its errors.
    """
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=timeout, cwd=HOME)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout
