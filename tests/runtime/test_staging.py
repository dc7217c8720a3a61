"""Folders that appear whole: links kept, nothing lost, nothing left lying about."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cgsam_edge import shipped, staging
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import CgsamError, OutputError
from cgsam_edge.revise import add_concepts, remove_concepts
from cgsam_edge.staging import check_destination, staged

LOCKS = pytest.mark.skipif(sys.platform == "win32", reason="folders are not locked there")


def bundle(path: Path, word: str) -> Path:
    path.mkdir(parents=True)
    (path / "manifest.json").write_text(word)
    return path


def write(destination: Path, word: str) -> None:
    with staged(destination) as folder:
        (folder / "manifest.json").write_text(word)


def word(path: Path) -> str:
    return (path / "manifest.json").read_text()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["swap", "two steps"])
def replacing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace a folder as this system does, and as one does that cannot swap."""
    if request.param == "two steps":
        monkeypatch.setattr(staging, "_swap", lambda *_: False)


@pytest.mark.usefixtures("replacing")
def test_a_folder_is_made_and_replaced(tmp_path: Path) -> None:
    write(tmp_path / "a", "first")
    (tmp_path / "a" / "more").write_text("of the first")
    write(tmp_path / "a", "second")
    assert word(tmp_path / "a") == "second"
    assert (names(tmp_path), names(tmp_path / "a")) == (["a"], ["manifest.json"])


@pytest.mark.usefixtures("replacing")
def test_what_fails_leaves_the_old_one(tmp_path: Path) -> None:
    bundle(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "a") as folder:
        (folder / "manifest.json").write_text(str(1 / 0))
    assert (word(tmp_path / "a"), names(tmp_path)) == ("old", ["a"])


@pytest.mark.skipif(sys.platform != "linux", reason="each system swaps by another call")
def test_here_folders_are_swapped_in_one_step(tmp_path: Path) -> None:
    one, other = bundle(tmp_path / "one", "1"), bundle(tmp_path / "other", "2")
    if not staging._swap(one, other):
        pytest.skip("this file system cannot swap folders")
    assert (word(one), word(other)) == ("2", "1")
    with pytest.raises(FileNotFoundError):
        staging._swap(one, tmp_path / "none")


def test_behind_a_link_the_bundle_changes_and_the_link_stays(tmp_path: Path) -> None:
    bundle(tmp_path / "releases" / "v3", "old")
    (tmp_path / "relative").symlink_to(Path("releases", "v3"))
    (tmp_path / "absolute").symlink_to(tmp_path / "releases" / "v3")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "twice").symlink_to(Path("..", "relative"))
    for link in ("relative", "absolute", "links/twice"):
        path = tmp_path / link
        pointed = path.readlink()
        write(path, link)
        assert path.readlink() == pointed
        assert word(tmp_path / "releases" / "v3") == link
    assert names(tmp_path / "releases") == ["v3"]
    assert names(tmp_path) == ["absolute", "links", "relative", "releases"]


def test_a_dangling_link_gets_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "releases").mkdir()
    (tmp_path / "current").symlink_to(Path("releases", "v4"))
    write(tmp_path / "current", "new")
    assert (tmp_path / "current").is_symlink()
    assert word(tmp_path / "releases" / "v4") == "new"


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    (tmp_path / "lost").symlink_to(Path("gone", "v4"))
    with pytest.raises(OutputError, match=r"gone \(where the link .*lost leads\): no such folder"):
        check_destination(tmp_path / "lost")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OutputError, match="circle: a link that leads back to itself"):
        check_destination(tmp_path / "circle")
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "to-notes").symlink_to("notes")
    with pytest.raises(OutputError, match=r"to-notes, a link to .*notes: a file of that name exists"):
        check_destination(tmp_path / "to-notes")


def test_a_long_name(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 120)
    write(path, "1")
    write(path, "2")
    assert (word(path), len(names(tmp_path))) == ("2", 1)


KILLED = """
import os, signal, sys
from pathlib import Path
from cgsam_edge import staging
if sys.argv[2] == "between":
    staging._swap = lambda *_: False
    rename = Path.rename
    def dying(self, target):
        if self.name.startswith(".a.partial-"):
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)
    Path.rename = dying
with staging.staged(Path(sys.argv[1])) as folder:
    (folder / "manifest.json").write_text("half")
    if sys.argv[2] == "while writing":
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "manifest.json").write_text("new")
"""


@LOCKS
@pytest.mark.parametrize("moment", ["while writing", "between"])
def test_killed(tmp_path: Path, moment: str) -> None:
    """The next run finds the old bundle, even between the two steps where folders cannot be swapped, and tidies."""
    bundle(tmp_path / "a", "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a"), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) >= 2
    with staged(tmp_path / "a") as folder:
        assert word(tmp_path / "a") == "old"
        (folder / "manifest.json").write_text("next")
    assert (word(tmp_path / "a"), names(tmp_path)) == ("next", ["a"])


@LOCKS
@pytest.mark.parametrize("moment", ["while writing", "between"])
@pytest.mark.parametrize("change", [add_concepts, remove_concepts])
def test_a_command_that_refuses_tidies_too(tmp_path: Path, change: Callable[..., Path], moment: str) -> None:
    shutil.copytree(shipped.BUNDLE, tmp_path / "a", copy_function=os.link)
    before = names(tmp_path / "a")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a"), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) + (moment == "between") >= 2
    with pytest.raises(CgsamError, match=r"already there|all that it has"):
        change(tmp_path / "a", Bundle(shipped.BUNDLE).vocabulary.names)
    assert (names(tmp_path), names(tmp_path / "a")) == (["a"], before)


@LOCKS
def test_what_others_write_now_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".a.partial-own_name_of_mine").mkdir()
    (tmp_path / ".b.partial-abcdefgh").mkdir()
    with staged(tmp_path / "a") as first:
        write(tmp_path / "a", "second")
        (first / "manifest.json").write_text("first")
    assert word(tmp_path / "a") == "first"
    assert names(tmp_path) == [".a.partial-own_name_of_mine", ".b.partial-abcdefgh", "a"]


@LOCKS
def test_a_folder_that_the_caller_locked(tmp_path: Path) -> None:
    lock = staging._lock(tmp_path)
    try:
        write(tmp_path / "a", "1")
    finally:
        assert lock is not None
        os.close(lock)
    assert names(tmp_path) == ["a"]
