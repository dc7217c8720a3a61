"""Folders of data sets: what a person changed in them stays, and what a kill may leave."""

from __future__ import annotations

import json
from pathlib import Path

from cgsam_edge.bulk.choices import Review, Split
from cgsam_edge.bulk.data_set_folders import DataSetFolders
from cgsam_edge.bulk.job import run
from tests.bulk.conftest import copied, job


def test_a_kill_between_the_folder_and_its_record(tmp_path: Path) -> None:
    """The record of the new folder still has its first name: it counts if the folder is the new one."""
    said: list[str] = []
    (tmp_path / "labels").mkdir()
    folders = DataSetFolders(tmp_path, tmp_path / "labels", said.append)
    for text in ("old", "new"):
        with folders.replaced("coco", lambda text=text: text) as work:  # type: ignore[misc]
            (work / "a.json").write_text(text)
        if text == "old":
            old = (tmp_path / "labels/coco.written").read_bytes()
    record = tmp_path / "labels/coco.written"
    record.rename(tmp_path / "labels/coco.written.new")
    record.write_bytes(old)
    assert folders.is_current("coco", "new")

    record.rename(tmp_path / "labels/coco.written.new")
    record.write_bytes(old)
    (tmp_path / "coco/a.json").write_text("old")
    assert not folders.is_current("coco", "new"), "the folder is the one of before"
    assert folders.is_current("coco", "old")
    assert not said


def test_a_folder_without_a_record_is_kept(tmp_path: Path) -> None:
    said: list[str] = []
    for name in ("labels", "coco"):
        (tmp_path / name).mkdir()
    (tmp_path / "coco/mine.txt").touch()
    with DataSetFolders(tmp_path, tmp_path / "labels", said.append).replaced("coco", lambda: "x"):
        pass
    assert (tmp_path / "coco.kept-1/mine.txt").exists()
    assert "may have been changed by hand" in said[0]


def test_corrections_by_hand_are_never_replaced(done: Path, streets: Path, tmp_path: Path) -> None:
    """Nothing new: the folder stays as it is. New labels: it is renamed, and the new one stands beside it."""
    output, said = copied(done, tmp_path), list[str]()
    run(job(streets, output, formats=("labelme",)))
    corrected = output / "labelme/morning/0.json"
    corrected.write_text("{}")
    untouched = corrected.with_name("1.json")
    before = untouched.stat().st_ino
    run(job(streets, output, formats=("labelme",)), say=said.append)
    assert (corrected.read_text(), untouched.stat().st_ino) == ("{}", before)
    assert any("was changed by hand (morning/0.json), and stays as it is" in line for line in said)
    run(job(streets, output, formats=("labelme",), split=Split.parse("100/0")), say=said.append)
    assert (output / "labelme.kept-1/morning/0.json").read_text() == "{}"
    assert (output / "labelme/train/morning/0.json").exists()
    assert any("labelme: was changed by hand (morning/0.json), so it was renamed labelme.kept-1" in x for x in said)
    run(job(streets, output, formats=("labelme",)), say=said.append)
    assert not (output / "labelme.kept-2").exists(), "nobody changed the second one"


def test_a_data_set_of_an_earlier_run_is_named(done: Path, streets: Path, tmp_path: Path) -> None:
    output, said = copied(done, tmp_path), list[str]()
    run(job(streets, output, formats=("yolo",)), say=said.append)
    assert not [line for line in said if "earlier run" in line], "coco has the same labels"
    run(job(streets, output, formats=("yolo",), review=Review(0, 1)), say=said.append)
    assert [line for line in said if "earlier run" in line] == [
        f"warning: {output / 'coco'}: is of an earlier run and was not written again; it has the labels of then."
    ]
    run(job(streets, output), say=said.append)
    assert json.loads((output / "manifest.json").read_text())["old"] == ["review/yolo", "yolo"]
