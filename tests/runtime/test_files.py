"""Files that appear whole, and what a killed process leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cgsam_edge import files

KILLED = """
import os, signal, sys
from pathlib import Path
from cgsam_edge.files import beside
with beside(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nobody is killed like that there")
def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "mask.json"
    path.write_text("old")
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    mine = tmp_path / f".other.json.partial-{files._MACHINE}-{os.getppid()}.json"
    elsewhere = tmp_path / ".other.json.partial-abcdef-999999999.json"
    for kept in (mine, elsewhere):
        kept.touch()
    files._tidy.cache_clear()
    files.write_beside(path, lambda partial: partial.write_text("new"))
    assert path.read_text() == "new"
    assert sorted(tmp_path.iterdir()) == sorted([path, mine, elsewhere])
