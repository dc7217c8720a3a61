"""Lines that survive whatever ends the process, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cgsam_edge._version import __version__
from cgsam_edge.bulk.rows import LabelRow, compact
from cgsam_edge.bulk.shards import Shards
from cgsam_edge.datasets import LabelledPicture
from cgsam_edge.errors import OutputError

A = LabelRow("a.png", "7:1", '{"name":"a.png"}', '{"car":0.5}', '{"backend":"x"}')
B = LabelRow("b.png", "8:1", '{"name":"b.png"}', '{"car":0.25}', '{"backend":"y"}', note="two pages")


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    with Shards(tmp_path / "labels") as shards:
        shards.append(A)
        shards.append(B)
        assert (shards.get("a.png"), shards.get("b.png"), shards.get("c.png")) == (A, B, None)
    with Shards(tmp_path / "labels") as again:
        assert (again.get("a.png"), again.get("b.png"), again.torn) == (A, B, 0)
        assert again.is_labelled("a.png", "7:1")
        assert not again.is_labelled("a.png", "7:2"), "the file was replaced"


@pytest.mark.parametrize("kept", [1, 5, 40, -2, -1])
def test_a_torn_line_is_no_label(tmp_path: Path, kept: int) -> None:
    """Wherever a line is cut, it is left out, and what comes later goes elsewhere."""
    with Shards(tmp_path) as shards:
        shards.append(A)
        whole = (tmp_path / "000001.jsonl").read_bytes()
        shards.append(B)
    file = tmp_path / "000001.jsonl"
    last = file.read_bytes().removeprefix(whole).splitlines(keepends=True)[-1]
    file.write_bytes(file.read_bytes().removesuffix(last) + last[:kept])
    with Shards(tmp_path) as shards:
        assert (shards.get("b.png"), shards.torn) == (None, 1)
        assert shards.get("a.png") == A
        shards.append(B)
        assert shards.get("b.png") == B
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001.jsonl", "000002.jsonl"]
    with Shards(tmp_path) as shards:
        assert shards.get("b.png") == B


def test_outlines_of_another_version_count_as_missing(tmp_path: Path) -> None:
    def made(name: str, version: str, outlines: str) -> LabelRow:
        label = LabelledPicture(name, 4, 4).to_json()
        return LabelRow(name, "7:1", label, maker=compact({"cgsam_edge": version}), outlines=outlines)

    rows = made("a.png", __version__, "[]"), made("b.png", "0.0.1", "[]"), made("c.png", __version__, "")
    with Shards(tmp_path) as shards:
        for row in rows:
            shards.append(row)
        assert [shards.lacks_outlines(row.name) for row in rows] == [False, True, True]
    with Shards(tmp_path) as shards:
        assert [shards.lacks_outlines(row.name) for row in rows] == [False, True, True]
        for row in rows[1:]:
            shards.append(row.with_outlines())
    with Shards(tmp_path) as shards:
        assert not any(shards.lacks_outlines(row.name) for row in rows), "they are computed once"
        found = shards.get("b.png")
    assert found is not None
    assert json.loads(found.maker) == {"cgsam_edge": "0.0.1", "outlines_by": __version__}


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    with Shards(tmp_path) as shards:
        shards.append(A)
    file = tmp_path / "000001.jsonl"
    file.write_bytes(file.read_bytes().replace(b"a.png", b"e.png"))
    with Shards(tmp_path) as shards:
        assert (shards.get("a.png"), shards.get("e.png"), shards.torn) == (None, None, 1)


def test_a_later_row_replaces_an_earlier_one(tmp_path: Path) -> None:
    failed = LabelRow("a.png", "7:1", error="not an image", maker=A.maker)
    with Shards(tmp_path) as shards:
        shards.append(failed)
        assert not shards.is_labelled("a.png", "7:1"), "an error is tried again"
    with Shards(tmp_path) as shards:
        assert shards.get("a.png") == failed
        shards.append(A)
    with Shards(tmp_path) as shards:
        assert shards.get("a.png") == A
        assert shards.is_labelled("a.png", "7:1")


def test_a_full_disk_is_an_error_that_says_what_is_kept(tmp_path: Path) -> None:
    with (  # noqa: PT012 — the first row is written
        pytest.raises(OutputError, match=r"No space left on device.*run the same command again"),
        Shards(tmp_path) as one,
    ):
        one.append(A)
        assert one._file is not None
        one._file.close()
        one._file = Path("/dev/full").open("wb")  # noqa: SIM115 — closed by the shards
        one.append(B)
    with Shards(tmp_path) as shards:
        assert (shards.get("a.png"), shards.get("b.png")) == (A, None)
