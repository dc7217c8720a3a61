"""`label` without a cluster: rows in, rows out, and processes that die."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cgsam_edge.bulk
from cgsam_edge.bulk.processes import DIED, label_rows
from cgsam_edge.bulk.worker import Labeller
from cgsam_edge.datasets import LabelledPicture
from cgsam_edge.errors import BackendError, InputError
from tests.bulk.conftest import recipe
from tests.bulk.poison import Poison

QUICK = {"concepts": ("car",), "backend": "onnxruntime", "threads": 1}


@pytest.fixture(autouse=True)
def _cache(own_cache: Path) -> None:
    pass


def test_every_form_of_a_row_gives_the_same_label(streets: Path) -> None:
    """A path, bytes, an array, and what Hugging Face and Ray's readers make of files."""
    file = streets / "morning/0.png"
    rows = [
        {"name": "a.png", "path": str(file)},
        {"path": "s3://bucket/b.png", "bytes": file.read_bytes()},
        {"name": "c.png", "image": np.asarray(Image.open(file))},
        {"image": {"bytes": file.read_bytes(), "path": "d.png"}},
    ]
    made: Any = cgsam_edge.bulk.label(rows, **QUICK)  # type: ignore[arg-type]
    labels = {row["name"]: json.loads(row["label"]) for row in made}
    assert set(labels) == {"a.png", "bucket/b.png", "c.png", "d.png"}
    assert len({json.dumps({**one, "name": ""}) for one in labels.values()}) == 1
    picture = LabelledPicture.from_json(json.dumps(labels["a.png"]))
    assert (picture.width, picture.height) == Image.open(file).size


def test_rows_that_cannot_be_used(streets: Path) -> None:
    rows = [
        {"name": "../up.png", "path": str(streets / "morning/0.png")},
        {"name": "deep.png", "image": np.zeros((8, 8), np.int64)},
        {"name": r"back\slash.png", "path": str(streets / "morning/0.png")},
    ]
    made: Any = cgsam_edge.bulk.label(rows, **QUICK)  # type: ignore[arg-type]
    errors = {row["name"]: row["error"] for row in made}
    assert errors["up.png"] == ""
    assert "must be uint8" in errors["deep.png"]
    with pytest.raises(InputError, match="a row needs 'name' or 'path'"):
        list(cgsam_edge.bulk.label([{"bytes": b""}], **QUICK))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_picture_that_kills_its_process_is_the_only_loss(streets: Path) -> None:
    """The rows around it were handed out as well when the process died; each is labelled once."""
    file = str(streets / "morning/0.png")
    rows: list[dict[str, Any]] = [{"name": f"{i}.png", "path": file} for i in range(8)]
    rows[2]["image"] = Poison()
    rows[5]["image"] = Poison()
    found = list(label_rows(rows, recipe(concepts=("car",)).checked(), 2))
    assert sorted(row.name for row in found) == [f"{i}.png" for i in range(8)]
    assert {row.name: row.error for row in found if row.error} == {"2.png": DIED, "5.png": DIED}


def test_an_engine_that_cannot_open_is_an_error_of_the_run(streets: Path) -> None:
    rows = [{"name": "a.png", "path": str(streets / "morning/0.png")}]
    with pytest.raises(BackendError, match="coreml"):
        list(label_rows(rows, recipe(backend="coreml").checked(), 1))


def test_rows_are_read_as_they_are_needed(streets: Path) -> None:
    """An endless source: only what the processes have in hand is taken."""
    taken = 0

    def endless() -> Iterator[dict[str, str]]:
        nonlocal taken
        while True:
            taken += 1
            yield {"name": f"{taken}.png", "path": str(streets / "morning/0.png")}

    made = label_rows(endless(), recipe(concepts=("car",)).checked(), 1)
    assert next(made).error == ""
    assert taken <= 4
    made.close()  # type: ignore[attr-defined]


def test_what_is_said_about_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several pictures in a file, a cut file, and an error that nobody expected: each in its row, named once."""
    page = Image.new("RGB", (32, 32))
    page.save(tmp_path / "scan.tif", save_all=True, append_images=[page])
    Image.effect_noise((64, 64), 50).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:500])
    labeller = Labeller(recipe(concepts=("car",)).checked())
    noted = labeller.label({"name": "day/scan.tif", "place": str(tmp_path / "scan.tif")})
    assert noted.note.startswith("day/scan.tif: holds 2 pictures, and the first is taken.")
    cut = labeller.label({"name": "day/cut.png", "place": str(tmp_path / "cut.png")})
    assert cut.error.startswith("day/cut.png: corrupt, truncated or unreadable (")
    assert cut.error.count("cut.png") == 1

    errors: list[Exception] = []

    def fail(*_: object, **__: object) -> None:
        raise errors[-1]

    monkeypatch.setattr(labeller._segmenter, "segment", fail)
    for error, words in ((MemoryError(), "not enough memory"), (ZeroDivisionError("a"), "internal error: Zero")):
        errors.append(error)
        row = labeller.label({"name": "day/whole.png", "place": str(tmp_path / "whole.png")})
        assert row.error.startswith(f"day/whole.png: {words}")
    errors.append(BackendError("the engine failed"))
    with pytest.raises(BackendError):
        labeller.label({"name": "day/whole.png", "place": str(tmp_path / "whole.png")})
    labeller.close()


def test_a_picture_is_turned_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (48, 32)).save(tmp_path / "a.jpg", exif=exif)
    made: Any = cgsam_edge.bulk.label([{"name": "a.jpg", "path": str(tmp_path / "a.jpg")}], **QUICK)  # type: ignore[arg-type]
    (row,) = made
    picture = LabelledPicture.from_json(row["label"])
    assert (picture.width, picture.height) == (32, 48)


@pytest.mark.parametrize("wrong", ["photos", b"photos", Path("photos"), {"name": "a.png", "bytes": b""}])
def test_one_row_or_a_path_is_not_a_data_set(wrong: Any) -> None:
    with pytest.raises(InputError, match=rf"iterable of rows, got one {type(wrong).__name__}\. .* use cgsam label"):
        cgsam_edge.bulk.label(wrong)
