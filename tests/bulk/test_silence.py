"""Ray reports nothing: its switch is set before it is imported, for this process and what it starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from cgsam_edge.bulk import on_ray
from cgsam_edge.bulk.recipe import Recipe
from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import telemetry
from tests import watching

CODE = """
from cgsam_edge.bulk import on_ray
from cgsam_edge.runtimes import telemetry
on_ray._ray()
from ray._common.usage import usage_lib
print(usage_lib.usage_stats_enabled())
"""


RUN = """
import sys, time
from cgsam_edge.bulk import job
from cgsam_edge.cli import main
append, pauses = job.Shards.append, [float(sys.argv[1])]
def slow(self, row):
    time.sleep(pauses.pop() if pauses else 0)
    append(self, row)
job.Shards.append = slow
if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
"""
"""``cgsam label``, with a pause in which the cluster stands and waits."""


@pytest.mark.parametrize(("wanted", "shown"), [("", "False"), ("1", "True")])
def test_usage_statistics_are_off_unless_the_user_wants_telemetry(
    wanted: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    monkeypatch.setenv("CGSAM_ENGINE_TELEMETRY", wanted)
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == shown


@pytest.mark.slow
def test_a_run_on_ray_reaches_nothing_but_this_machine(streets: Path, tmp_path: Path) -> None:
    """Over a minute: all processes of the cluster are traced, and no address but those of the loopback is named."""
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    program, output = tmp_path / "program.py", tmp_path / "run"
    program.write_text(RUN)
    options = ["--to", "coco", "--concepts", "car", "--backend", "onnxruntime", "--cluster", "auto", "--workers", "1"]
    command = [str(program), "65", "label", str(streets / "morning"), *options, "--output", str(output)]
    with tempfile.TemporaryDirectory(prefix="r") as short:  # sockets have names of 107 bytes at most
        seen = watching.run(command, tmp_path / "watched", loopback=True, RAY_TMPDIR=short)
    assert seen.code == 0, seen.errors
    assert (output / "coco/annotations/instances_default.json").is_file()
    home = str(tmp_path / "watched/home")
    assert (seen.attempts, [path for path in seen.left if home in path]) == ([], [])


def test_the_watch_sees_other_addresses(tmp_path: Path) -> None:
    """What the test above would miss if it could not fail."""
    code = """
import contextlib, socket
for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"), (socket.AF_INET, "127.0.0.1")):
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as one:
        one.connect((address, 53))
"""
    seen = watching.run(["-c", code], tmp_path / "watched", loopback=True)
    assert len(seen.attempts) == 2
    assert "192.0.2.1" in seen.attempts[0]
    assert "2001:db8::1" in seen.attempts[1]


def test_the_process_for_statistics_is_left_out_unless_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    services = pytest.importorskip("ray._private.services", reason="the extra 'ray' is not installed")
    start = services.start_api_server
    with on_ray._without_statistics():
        assert services.start_api_server("any", arguments=1) == (None, None)
    assert services.start_api_server is start
    monkeypatch.setenv(telemetry.ENVIRONMENT, "1")
    with on_ray._without_statistics():
        assert services.start_api_server is start


def test_a_token_of_the_user_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in on_ray._TOKENS:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("mine")
    on_ray._keep_token_in_memory()
    assert not any(name in os.environ for name in on_ray._TOKENS)
    shutil.rmtree(tmp_path / ".ray")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "elsewhere")
    on_ray._keep_token_in_memory()
    assert "RAY_AUTH_TOKEN" not in os.environ
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    on_ray._keep_token_in_memory()
    assert os.environ["RAY_AUTH_TOKEN"] == "mine"
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    on_ray._keep_token_in_memory()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_a_token_ends_with_the_cluster_that_it_was_made_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that could not start, as one that has ended."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", "")
    for name in on_ray._TOKENS:
        monkeypatch.delenv(name, raising=False)
    seen: list[str] = []

    def fail(**_: object) -> None:
        seen.append(os.environ["RAY_AUTH_TOKEN"])
        raise RuntimeError("no memory")

    ray = SimpleNamespace(is_initialized=lambda: False, init=fail, shutdown=lambda: None)
    monkeypatch.setattr(on_ray, "_ray", lambda: ray)
    monkeypatch.setattr(on_ray, "_without_statistics", nullcontext)
    with pytest.raises(BackendError, match="no memory"), on_ray._connected("auto", Recipe(), 1):
        pass
    assert [len(token) for token in seen] == [64]
    assert "RAY_AUTH_TOKEN" not in os.environ
