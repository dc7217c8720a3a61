"""Talking to child processes: with interpreters that print, that are none, that crash or hang."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from cgsam_edge import Segmenter
from cgsam_edge.runtimes import child, children
from cgsam_edge.runtimes.children import Child, ChildError, NoChildError

ECHO = "tests.runtime.echo"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX scripts and signals")


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_unable", "")
    monkeypatch.setattr(children, "_slow", False)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def started(marker: Path) -> int:
    return len(marker.read_text()) if marker.exists() else 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "ascii", "cp1252"])
def test_every_value_arrives_whatever_the_streams(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    monkeypatch.setenv("LC_ALL", "C")
    value = {"path": "Straße/\udcff→.png", "number": 1.5}
    with Child(ECHO) as talking:
        assert talking.ask(value) == {"echo": value}
        assert talking.ask({}) == {"echo": {}}


def test_what_an_interpreter_prints_when_it_starts_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "print('welcome to this cluster'); print('{\"echo\": 1}'); print('{}')\n"
        "sys.stdout.flush(); os.write(1, b'\\xff\\xfe and no end of line')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with Child(ECHO) as talking:
        assert talking.started < talking.greeted
        assert talking.ask({"x": 1}) == {"echo": {"x": 1}}


@pytest.mark.parametrize("name", ["qgis", "blender", "QGIS.exe", "", None])
def test_a_host_program_is_never_started(name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker, real = tmp_path / "started", sys.exec_prefix
    host = str(program(tmp_path / name, f"printf x >> {marker}; sleep 60")) if name else name
    monkeypatch.setattr(sys, "executable", host)
    monkeypatch.setattr(sys, "exec_prefix", str(tmp_path))
    with pytest.raises(NoChildError, match=f"its executable is {host or 'unknown'}"):
        Child(ECHO)
    assert not started(marker)
    monkeypatch.setattr(sys, "exec_prefix", real)  # a host with its own Python
    with Child(ECHO) as talking:
        assert talking.ask({}) == {"echo": {}}
    assert not started(marker)


def test_a_host_program_opens_bundles_in_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: Path, trials: None
) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/qgis/bin/qgis")
    monkeypatch.setattr(sys, "exec_prefix", str(tmp_path))
    with Segmenter(backend="onnxruntime") as segmenter:
        assert segmenter.placement.reason == (
            "the only candidate here; not tried: this program cannot start another Python process (its executable is "
            "/opt/qgis/bin/qgis)"
        )
    with Segmenter() as segmenter:
        assert segmenter.placement.reason.startswith("not measured: this program cannot start another Python process")


OTHER = child.MARK + json.dumps({"python": "cpython-27", "platform": "linux"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo no licence >&2; exit 3", r"its process ended with code 3 \(no licence\)"),
        (f"echo '{OTHER}'; sleep 60", "is another Python: .*cpython-27"),
        ("echo 'cgsam: []'; sleep 60", "is another Python"),
        ("echo 'cgsam: {'; sleep 60", "does not answer as Python: its process wrote a message"),
    ],
)
def test_what_is_called_python_must_greet(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "started"
    monkeypatch.setattr(sys, "executable", str(program(tmp_path / "python3", f"printf x >> {marker}\n{text}")))
    monkeypatch.setattr(children, "GREETING_LIMIT", 60.0)
    monkeypatch.setattr(children, "_GOODBYE", 0.1)
    for _ in range(2):
        with pytest.raises(NoChildError, match=words):
            Child(ECHO)
    assert started(marker) == 1, "it is not waited for twice"


def slow(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """Put a Python in place that is slow, and return the file to which each start of it adds a letter."""
    marker = folder / "started"
    monkeypatch.setattr(sys, "executable", str(program(folder / "python3", f"printf x >> {marker}\n{text}")))
    monkeypatch.setattr(children, "GREETING_LIMIT", 1.0)
    monkeypatch.setattr(children, "_GOODBYE", 0.1)
    return marker


def test_one_that_says_nothing_is_tried_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = slow(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(children, "PATIENCE", 2)
    with pytest.raises(NoChildError, match=r"said nothing for 1 s\. The next .* tried .* again, which may take 2 s\.$"):
        Child(ECHO)
    for _ in range(2):
        with pytest.raises(NoChildError, match=r"does not answer as Python: its process said nothing for 2 s\.$"):
            Child(ECHO)
    assert started(marker) == 2, "it is not waited for a third time"


def test_a_slow_start_costs_one_child_and_not_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, busy = sys.executable, tmp_path / "busy"
    busy.touch()
    marker = slow(tmp_path, monkeypatch, f'[ -e {busy} ] && sleep 60\nexec {real} "$@"')
    monkeypatch.setattr(children, "PATIENCE", 60)
    with pytest.raises(NoChildError, match="said nothing for 1 s"):
        Child(ECHO)
    busy.unlink()
    for _ in range(2):
        with Child(ECHO) as talking:
            assert talking.ask({"x": 1}) == {"echo": {"x": 1}}
    assert started(marker) == 3


def test_modules_in_the_working_folder_are_not_the_childs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "importlib", "runpy", "cgsam_edge"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is the user\\'s own file')\n")
    monkeypatch.setattr(sys, "path", [entry or str(Path.cwd()) for entry in sys.path])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with Child(ECHO) as talking:
        assert talking.ask({"x": 1}) == {"echo": {"x": 1}}


def test_a_program_that_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path / "python3.11", "")
    path.write_bytes(b"\x7fELF of another machine")
    monkeypatch.setattr(sys, "executable", str(path))
    with pytest.raises(NoChildError, match=r"python3\.11 cannot be started \(Exec format error\)"):
        Child(ECHO)


def test_a_crash_says_when_and_why() -> None:
    with Child(ECHO) as talking, pytest.raises(ChildError) as caught:
        talking.ask({"do": "die"}, "opening the door")
    assert str(caught.value) == "its process died of SIGKILL (the driver said no) while opening the door."


def test_a_child_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "STEP_LIMIT", 0.5)
    monkeypatch.setattr(children, "_GOODBYE", 0.1)
    with Child(ECHO) as talking, pytest.raises(ChildError, match=r"said nothing for 1 s while waiting\.$"):
        talking.ask({"do": "hang"}, "waiting", steps=2)


def test_what_a_child_says_of_its_own_failure_is_the_message() -> None:
    with Child(ECHO) as talking, pytest.raises(ChildError, match=r"^the picture is no picture\.$"):
        talking.ask({"do": "refuse"})
    with Child(ECHO) as talking, pytest.raises(ChildError, match="ZeroDivisionError"):
        talking.ask({"do": "fail"})
    with Child("no.such.module") as talking, pytest.raises(ChildError, match="ModuleNotFoundError"):
        talking.ask({})
