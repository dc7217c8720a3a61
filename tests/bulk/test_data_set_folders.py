"""What a kill may leave between a folder and its record."""

from __future__ import annotations

from pathlib import Path

from cgsam_edge.bulk.data_set_folders import DataSetFolders


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
