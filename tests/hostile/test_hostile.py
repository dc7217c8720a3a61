"""Every hostile file is read rightly or refused by name, with the message in the table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from cgsam_edge.export.parity import sample_picture
from tests import tiny
from tests.hostile.cases import CASES, REFUSED, Case
from tests.hostile.kit import Kit
from tests.hostile.readers import READERS
from tests.hostile.table import MAKERS, README, page, repeated

NOT_ON_WINDOWS = {"pipe", "manifest_pipe", "dangling", "link_outside", "link_to_itself", "settings"}


@pytest.fixture(scope="session")
def kit() -> Kit:
    picture: Image.Image = sample_picture(64)
    return Kit(tiny.model(tiny.config()), picture)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.name}")
def test_hostile(
    case: Case, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if sys.platform == "win32" and case.name in NOT_ON_WINDOWS:
        pytest.skip("there are no such files on Windows")
    made, work = tmp_path / "made", tmp_path / "work"
    made.mkdir()
    work.mkdir()
    monkeypatch.chdir(work)
    path = case.make(made, kit)
    code = READERS[case.kind].run(path, kit, work)
    printed = " ".join("".join(capfd.readouterr()).split())
    assert case.pattern.search(printed), printed
    assert code == case.code, printed
    assert "internal error" not in printed
    if case.code == REFUSED:
        assert path.name in printed or str(made) in printed
        assert not list(work.glob("*.cgsam"))
    assert not (work / "owned").exists()


def test_there_are_enough() -> None:
    assert len(MAKERS) >= 5
    assert len(CASES) >= 60
    assert repeated() == []


def test_the_table_is_up_to_date() -> None:
    assert README.read_text(encoding="utf-8") == page(), "run python -m tests.hostile"
