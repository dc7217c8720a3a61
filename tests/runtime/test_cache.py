"""The cache folder: where it is, where there is none, and what is kept in it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cgsam_edge import shipped
from cgsam_edge.runtimes import cache, compiled
from cgsam_edge.runtimes.compiled import Proof, Use
from cgsam_edge.runtimes.placement import Candidate
from cgsam_edge.runtimes.protocol import SessionOptions

pwd = pytest.importorskip("pwd", reason="POSIX users")
CPU = Candidate("engine", "target", "CPU")
PROGRAM = """
import pwd, warnings
def nobody(number):
    raise KeyError(number)
pwd.getpwuid = nobody  # as for a user who is in no list of users
from cgsam_edge import Segmenter
from cgsam_edge.cli import main
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    Segmenter({bundle!r}, backend="onnxruntime").close()
print([str(one.message) for one in caught])
main(["doctor"])
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX users")
def test_a_user_without_a_home_folder(tmp_path: Path) -> None:
    program = PROGRAM.format(bundle=str(shipped.BUNDLE))
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", cache.ENVIRONMENT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert (
        "this user has no home folder, so nothing is cached. Set CGSAM_CACHE to a folder. Continuing without a cache"
        in done.stdout
    )
    assert "cache: off: this user has no home folder" in done.stdout


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="where Linux keeps caches")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"HOME": "~"}, None),
        ({"HOME": ""}, "/.cache/cgsam-edge"),
        ({"HOME": "/home/me"}, "/home/me/.cache/cgsam-edge"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "relative"}, "/home/me/.cache/cgsam-edge"),
        ({"XDG_CACHE_HOME": "/var/cache"}, "/var/cache/cgsam-edge"),
        ({"CGSAM_CACHE": "~/kept", "HOME": "/home/me"}, "/home/me/kept"),
        ({"CGSAM_CACHE": "~/kept"}, None),
        ({"CGSAM_CACHE": "kept"}, "kept"),
    ],
)
def test_where_the_folder_is(variables: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "XDG_CACHE_HOME", cache.ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.root() == (None if expected is None else Path(expected))
    if expected is None:
        assert cache.problem()


def use(**changes: Any) -> Use:
    return replace(Use("0" * 64, CPU, "1.0", SessionOptions()), **changes)


def test_everything_that_is_compiled_differently_has_a_key_of_its_own() -> None:
    others: list[dict[str, Any]] = [
        {"digest": "1" * 64},
        {"version": "1.1"},
        *({"candidate": replace(CPU, **{name: "other"})} for name in ("backend", "target", "device")),
        *({"options": SessionOptions(**options)} for options in (
            {"threads": 1}, {"threads": 2}, {"performance": "throughput"}, {"performance": "low-power"},
            {"precision": "float32"}, {"precision": "reduced"}, {"save_memory": True},
        )),
    ]  # fmt: skip
    names = {use().name, *(use(**change).name for change in others)}
    assert len(names) == len(others) + 1
    assert use(options=SessionOptions(device="GPU", cache=Path("x"))).name == use().name, "filled in from the candidate"


def test_another_processor_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = use().name
    other = replace(cache.host(), features="fewer")
    monkeypatch.setattr(cache, "host", lambda: other)
    assert use().name != before


def test_a_proof_holds_until_a_file_changes(fresh: Path) -> None:
    assert use().proof() is None
    scratch = compiled.scratch(use().digest)
    assert scratch is not None
    (scratch / "CPU").mkdir()
    (scratch / "CPU" / "graph.blob").write_text("compiled")
    use().prove(scratch / "CPU")
    folder = use().folder()
    assert folder is not None
    assert use().proof() == Proof(loads=True)
    assert (folder / "graph.blob").read_text() == "compiled"
    assert use(version="2.0").proof() is None
    (folder / "later.blob").write_text("of another graph")
    assert use().proof() == Proof()
    (folder / "graph.blob").write_text("changed")
    assert use().proof() is None
    use().prove(loads=False)
    assert use().proof() == Proof(loads=False)
    assert [path.name for path in folder.iterdir()] == ["tried.json"]
    (folder / "tried.json").write_text("{")
    assert use().proof() is None


def test_only_the_last_used_are_kept(fresh: Path) -> None:
    for i in range(12):
        path = use(digest=f"{i:02}".ljust(64, "0")).folder()
        assert path is not None
        os.utime(path.parent, (i, i))
    assert len(list((fresh / "compiled").iterdir())) == 8
    assert path is not None
    for i in range(12):
        one = use(digest=f"{11:02}".ljust(64, "0"), version=str(i)).folder()
        assert one is not None
        os.utime(one, (i, i))
    assert len(list(path.parent.iterdir())) == 8
    assert one is not None
    assert one.is_dir()


def test_containers_with_a_new_host_name_share_what_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    before = use().name
    other = replace(cache.host(), node="another")
    monkeypatch.setattr(cache, "host", lambda: other)
    assert use().name == before


def test_a_proof_that_another_process_left_is_kept(fresh: Path) -> None:
    use().prove()
    folder = use().folder()
    assert folder is not None
    (folder / "graph.blob").write_text("of the other process")
    scratch = compiled.scratch(use().digest)
    assert scratch is not None
    use().prove(scratch)
    assert (folder / "graph.blob").read_text() == "of the other process"
