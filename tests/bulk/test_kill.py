"""Kill -9 of a worker and of the driver in the middle of a run, which then continues: the same files, nothing twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.bulk.conftest import files

PICTURES = 40
OPTIONS = ("--to", "coco", "--concepts", "road,car", "--backend", "onnxruntime", "--threads", "1", "--workers", "2")

RUN = """
import sys
from cgsam_edge.cli import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def many(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    pictures = sorted(streets.rglob("*.png"))
    for number in range(PICTURES):
        shutil.copy(pictures[number % len(pictures)], folder / f"{number:03d}.png")
    return folder


def start(folder: Path, output: Path, place: Path, *more: str) -> subprocess.Popen[bytes]:
    file = place / "program.py"
    file.write_text(RUN)
    command = [sys.executable, file, "label", folder, *OPTIONS, "--output", output, *more]
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def labels(output: Path) -> list[str]:
    """Names of all whole labels, in the order in which they were written."""
    lines = [line for path in sorted(output.glob("labels/*.jsonl")) for line in path.read_text().splitlines()]
    entries = [json.loads(line[9:]) for line in lines]
    return [entry["name"] for entry in entries if "name" in entry]


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes] | None = None) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, "it ended too early"
        time.sleep(0.05)


def workers(driver: int) -> list[psutil.Process]:
    """Processes that hold an engine: spawned ones, or actors of Ray, which belong to the run's own cluster."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if "spawn_main" in line or "ray::MapWorker" in line:
            found.append(process)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--cluster", "auto")], ids=["processes", "ray"])
def test_a_worker_and_the_driver_are_killed(more: tuple[str, ...], many: Path, own_cache: Path, tmp_path: Path) -> None:
    if more:
        pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    whole, output = tmp_path / "whole", tmp_path / "killed"
    assert start(many, whole, tmp_path).wait() == 0

    driver = start(many, output, tmp_path, *more)
    wait_for(lambda: len(labels(output)) >= 5, driver)
    workers(driver.pid)[0].kill()
    wait_for(lambda: len(labels(output)) >= 20, driver)
    left = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    wait_for(lambda: not any(_is_alive(process) for process in left))
    kept = labels(output)
    assert 20 <= len(kept) < PICTURES
    assert not (output / "coco").exists()

    assert start(many, output, tmp_path, *more).wait() == 0
    assert files(output) == files(whole)
    counts = Counter(labels(output))
    assert set(counts) == {f"{number:03d}.png" for number in range(PICTURES)}
    assert set(counts.values()) == {1}
    assert labels(output)[: len(kept)] == kept


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def test_a_process_id_is_reused_by_nobody() -> None:
    """What the wait above stands on."""
    assert _is_alive(psutil.Process(os.getpid()))
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    process = psutil.Process(child.pid)
    child.wait()
    assert not _is_alive(process)
