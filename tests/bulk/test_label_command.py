"""``cgsam label`` as it is typed: what it prints, keeps and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cgsam_edge.bulk.job import _known_as
from cgsam_edge.bulk.rows import LabelRow
from cgsam_edge.bulk.shards import Shards
from cgsam_edge.cli import main
from tests.bulk.conftest import copied, shard_lines


def test_urls_are_kept_without_their_secrets(streets: Path, tmp_path: Path) -> None:
    """The signature is no part of any file of the run; another one is another source."""
    pytest.importorskip("fsspec", reason="the extra 'ray' is not installed")
    folder = "file://" + str(streets / "morning")
    assert _known_as(folder) == folder
    known = [_known_as(f"https://me@host/a?sig={secret}") for secret in ("pw1", "pw2")]
    assert known[0] != known[1]
    assert all(one.startswith("https://***@host/a?sig=*** (SHA-256 ") and "pw" not in one for one in known)


def test_wrong_usage_has_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["label", "photos", "--output", "run", "--to"]
    for more, words in (
        (["kitti"], "argument --to: no such data set format: kitti"),
        (["coco", "--split", "50/30"], "argument --split: expected shares"),
        (["coco", "--review", "0.7-0.3"], "argument --review: expected a range"),
    ):
        with pytest.raises(SystemExit) as caught:
            main([*command, *more])
        assert caught.value.code == 2
        assert words in capsys.readouterr().err


def test_no_data_set_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/bad.png").write_text("no picture")
    output = tmp_path / "run"
    assert main(["label", str(tmp_path / "photos"), "--to", "coco", "--output", str(output), "--concepts", "car",
                 "--backend", "onnxruntime", "--threads", "1"]) == 3  # fmt: skip
    assert capsys.readouterr().out == (
        f"no picture could be read, so no data set was written; 1 could not be used; report: {output / 'report.html'}\n"
    )
    assert not (output / "coco").exists()


def test_the_last_line_counts_what_each_folder_holds(
    done: Path, streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = copied(done, tmp_path)
    presences = [json.loads(json.loads(line[9:])["presence"])["car"] for line in shard_lines(output)[1:]]
    low = sorted(presences)[-2]
    command = ["label", str(streets), "--to", "coco", "--output", str(output), "--concepts", "road,car",
               "--backend", "onnxruntime", "--threads", "1", "--review", f"{low}-1"]  # fmt: skip
    assert main(command) == 0
    counts = []
    for folder in (output, output / "review"):
        data = json.loads((folder / "coco/annotations/instances_default.json").read_text())
        counts.append({"pictures": len(data["images"]), "objects": len(data["annotations"])})
    sure, aside = counts
    assert capsys.readouterr().out == (
        f"{sure['pictures']} pictures with {sure['objects']} objects → {output / 'coco'}; {aside['pictures']} unsure → "
        f"{output / 'review'}; report: {output / 'report.html'}\n"
    )
    manifest = json.loads((output / "manifest.json").read_text())
    assert [manifest["in_data_sets"], manifest["set_aside"]] == counts


def test_an_interruption_says_what_is_kept(
    streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Shards.append

    def interrupted(shards: Shards, row: LabelRow) -> None:
        if len(list(shards._places)) == 2:
            raise KeyboardInterrupt
        append(shards, row)

    monkeypatch.setattr(Shards, "append", interrupted)
    command = ["label", str(streets), "--to", "coco", "--output", str(tmp_path / "run"), "--concepts", "car",
               "--backend", "onnxruntime", "--threads", "1"]  # fmt: skip
    assert main(command) == 130
    assert (
        "interrupted; 2 pictures are done, and their labels are kept. The same command continues."
        in capsys.readouterr().err
    )
