"""Node and npm for tests: what `web/` needs is installed once a run, and no program may run without end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.shelf import of_the_run
from tests.web import supplies

WEB = supplies.WEB
NPM = shutil.which("npm")
NODE = shutil.which("node")
OLDEST_NODE = 20
NO_NETWORK = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH")


def run(*command: str, check: bool = True, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run a program in `web/`; after ``timeout`` seconds it is killed with all that it started, and the test fails."""
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=WEB, start_new_session=True
    )
    try:
        output, errors = started.communicate(timeout=timeout)
    except BaseException as error:
        os.killpg(started.pid, signal.SIGKILL)
        output, errors = started.communicate()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        pytest.fail(f"{' '.join(command)} ran for {timeout:g} s:\n{output[-4000:]}{errors[-4000:]}")
    assert not check or started.returncode == 0, output[-4000:] + errors[-4000:]
    return subprocess.CompletedProcess(command, started.returncode, output, errors)


def missing() -> str:
    """Why the tests of `web/` cannot run here, or nothing."""
    if NPM is None or NODE is None:
        return "needs Node and npm"
    version = run(NODE, "--version").stdout
    major = int(re.match(r"v(\d+)", version).group(1))  # type: ignore[union-attr]
    return "" if major >= OLDEST_NODE else f"needs Node {OLDEST_NODE} or newer, found {version.strip()}"


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """npm, after it has installed what `web/` needs; other processes of the run wait for that."""
    why = missing()
    if why:
        pytest.skip(why)
    of_the_run(tmp_path_factory).get("npm", _install)
    assert NPM is not None
    return NPM


def _install(_: Path) -> None:
    assert NPM is not None
    stamp, lock = WEB / "node_modules" / ".package-lock.json", WEB / "package-lock.json"
    if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
        return
    done = run(NPM, "ci", check=False)
    if NO_NETWORK.search(done.stderr):
        pytest.skip("npm reaches no registry")
    assert done.returncode == 0, done.stderr[-4000:]
