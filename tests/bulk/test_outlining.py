"""Polygons are computed by the processes that label; what writes data sets only copies them."""

from __future__ import annotations

import errno
import json
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path

import pytest

from cgsam_edge.bulk import outlining
from cgsam_edge.bulk.job import run
from cgsam_edge.bulk.outlining import outlined
from cgsam_edge.bulk.rows import LabelRow
from cgsam_edge.errors import OutputError
from tests.bulk.conftest import files, job, shard_lines
from tests.datasets.pictures import pictures
from tests.datasets.test_outlines import refuse


def rows() -> list[LabelRow]:
    return [LabelRow(one.name, label=one.to_json()) for one in pictures()]


def test_the_driver_computes_no_polygon(
    done: Path, streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels come from a process apart, in which polygons can be computed."""
    monkeypatch.setattr("cgsam_edge.datasets.picture.mask_polygons", refuse)
    run(job(streets, tmp_path / "run", formats=("coco", "yolo", "geojson")))
    assert files(tmp_path / "run/coco") == files(done / "coco")
    with pytest.raises(AssertionError, match="computed again"):
        rows()[0].with_outlines()


def test_formats_that_come_later_get_their_polygons_once(done: Path, streets: Path, tmp_path: Path) -> None:
    output, said = tmp_path / "run", list[str]()
    run(job(streets, output, formats=("voc",)))
    assert not any(json.loads(line[9:]).get("outlines") for line in shard_lines(output))
    for _ in range(2):
        run(job(streets, output, workers=2), say=said.append)
    assert sum("computing the polygons of 5 pictures" in line for line in said) == 1
    assert files(output / "coco") == files(done / "coco")


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_are_outlined_in_their_order(workers: int) -> None:
    assert list(outlined(iter(rows()), workers)) == [row.with_outlines() for row in rows()]


def test_a_process_that_dies_leaves_the_rest_to_the_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead:
        def submit(self, *_: object) -> None:
            raise BrokenProcessPool

    monkeypatch.setattr(outlining, "pool", lambda *_: nullcontext(Dead()))
    said = list[str]()
    assert list(outlined(rows(), 2, said.append)) == []
    assert len(said) == 1
    assert said[0].startswith("warning: a process that computes polygons died")


def test_a_full_disk_says_what_to_do_while_polygons_are_computed(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(job(streets, tmp_path / "run", formats=("voc",)))

    def full(*_: object) -> None:
        raise OutputError("no room") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cgsam_edge.bulk.job.Shards.append", full)
    with pytest.raises(OutputError, match=r"the disk is full.*polygons of 0 pictures.* kept: free"):
        run(job(streets, tmp_path / "run", formats=("coco",)))
