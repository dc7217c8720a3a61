"""Whole runs of ``cgsam label`` on real pictures: what is written, continued, refused and reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.bulk import run_folder
from cgsam_edge.bulk.choices import Review, Split
from cgsam_edge.bulk.job import run
from cgsam_edge.cli import main
from cgsam_edge.errors import InputError, OutputError, UnknownConceptError
from cgsam_edge.rle import decode_rle
from cgsam_edge.written_files import png_mark
from tests.bulk.conftest import copied, files, job, recipe, shard_lines

NAMES = ["evening/2.png", "evening/3.png", "evening/4.png", "morning/0.png", "morning/1.png"]


def test_labels_are_the_segmenter_s(done: Path, streets: Path) -> None:
    """The labels of a picture cover what `Segmenter.segment` finds, but for crumbs and small holes."""
    data = json.loads((done / "coco/annotations/instances_default.json").read_text())
    assert [one["file_name"] for one in data["images"]] == NAMES
    assert [one["name"] for one in data["categories"]] == ["road", "car"]
    lines = [json.loads(line) for line in (done / "pictures.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == NAMES
    entries = {json.loads(line[9:]).get("name"): json.loads(line[9:]) for line in shard_lines(done)}
    label = max((json.loads(entries[name]["label"]) for name in NAMES), key=lambda one: len(one["objects"]))
    name = label["name"]
    with Segmenter(backend="onnxruntime", threads=1) as segmenter:
        result = segmenter.segment(streets / name, ["road", "car"])
    assert any(one.present for one in result.values())
    for concept in result.values():
        masks = [decode_rle(one["rle"]) for one in label["objects"] if one["concept"] == concept.name]
        expected = concept.mask if concept.present else np.zeros_like(concept.mask)
        assert (np.any([*masks, np.zeros_like(expected)], axis=0) ^ expected).mean() < 0.002
    assert json.loads(entries[name]["presence"]) == {c.name: round(c.presence, 6) for c in result.values()}


def test_the_manifest_says_what_made_each_label(done: Path) -> None:
    manifest = json.loads((done / "manifest.json").read_text())
    (name, maker), *others = manifest["makers"].items()
    assert not others
    with Segmenter(backend="onnxruntime", threads=1) as segmenter:
        placement, digest = segmenter.placement, segmenter.bundle.digest
    assert (maker["backend"], maker["threads"], maker["pictures"]) == ("onnxruntime", 1, 5)
    assert (maker["bundle"], maker["precision"]) == (digest, placement.precision)
    assert maker["engine_version"] == placement.version
    assert {json.loads(line)["maker"] for line in (done / "pictures.jsonl").read_text().splitlines()} == {name}
    assert manifest["objects"] == sum(one["objects"] for one in manifest["concepts"].values()) > 0


def test_the_report_shows_every_picture(done: Path) -> None:
    page = (done / "report.html").read_text()
    for text in (*NAMES, "Pictures by concept", "Sizes", "Scores", "Presence", "onnxruntime"):
        assert text in page
    assert page.count("data:image/jpeg;base64,") == len(NAMES)


def test_a_complete_run_does_nothing_again(done: Path, streets: Path, tmp_path: Path) -> None:
    output, said, seen = copied(done, tmp_path), list[str](), list[tuple[int, int]]()
    before = files(output)
    run(job(streets, output), lambda *counts: seen.append(counts), said.append)
    assert (said, seen) == (["5 of 5 pictures have been labelled before."], [(5, 5)])
    assert files(output) == before
    assert [path.name for path in (output / "labels").glob("*.jsonl")] == ["000001.jsonl"]


def test_what_a_kill_left_is_continued(done: Path, streets: Path, tmp_path: Path) -> None:
    """A shard cut in the middle of its third label, and no data set yet: the two whole labels are kept."""
    output = copied(done, tmp_path)
    for name in ("coco", "report.html", "manifest.json", "pictures.jsonl"):
        path = output / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shard = output / "labels/000001.jsonl"
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"".join(lines[:3]) + lines[3][:100])
    said: list[str] = []
    run(job(streets, output), say=said.append)
    assert said == [
        f"1 line of {output / 'labels'} cut off by a kill, or altered: not used; what lacks a label is labelled again.",
        "2 of 5 pictures have been labelled before.",
    ]
    assert files(output) == files(done)
    assert len((output / "labels/000002.jsonl").read_bytes().splitlines()) == 1 + 3  # what makes labels, and labels


@pytest.mark.slow
def test_two_processes_write_the_same_files_as_one(done: Path, streets: Path, tmp_path: Path) -> None:
    run(job(streets, tmp_path / "two", workers=2))
    assert files(tmp_path / "two") == files(done)


def test_splits_and_unsure_pictures(done: Path, streets: Path, tmp_path: Path) -> None:
    """A further format of the same labels is written without new work; unsure pictures are in `review` alone."""
    output = copied(done, tmp_path)
    presences = {}
    for line in shard_lines(output)[1:]:
        entry = json.loads(line[9:])
        presences[entry["name"]] = json.loads(entry["presence"])
    value = presences[NAMES[1]]["car"]
    review = Review(value, value)
    totals = run(job(streets, output, split=Split.parse("50/50"), review=review))
    unsure = {name for name in NAMES if value in presences[name].values()}
    assert totals.unsure == len(unsure)
    aside = json.loads((output / "review/coco/annotations/instances_default.json").read_text())
    assert {one["file_name"] for one in aside["images"]} == unsure
    kept: dict[str, str] = {}
    for part in ("train", "val"):
        file = output / f"coco/annotations/instances_{part}.json"
        kept |= {one["file_name"]: part for one in json.loads(file.read_text())["images"]} if file.exists() else {}
    assert kept == {name: Split.parse("50/50").of(name) for name in NAMES if name not in unsure}
    assert "unsure: " in (output / "report.html").read_text()


def test_a_picture_that_cannot_be_read_ends_nothing(
    streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(streets / "morning", tmp_path / "mixed"))
    (folder / "bad.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    command = ["label", str(folder), "--to", "coco", "--output", str(tmp_path / "run"), "--concepts", "car",
               "--backend", "onnxruntime", "--threads", "1"]  # fmt: skip
    assert main(command) == 3
    printed = capsys.readouterr()
    assert "2 pictures with" in printed.out
    assert "3 could not be used" in printed.out
    for words in ("bad.jpg: not an image that Pillow can read", "empty.png: an empty file", "gone.png: a link to"):
        assert words in printed.err
    lines = [json.loads(line) for line in (tmp_path / "run/pictures.jsonl").read_text().splitlines()]
    assert [("error" in line, line["name"]) for line in lines] == [
        *((False, "0.png"), (False, "1.png"), (True, "bad.jpg"), (True, "empty.png"), (True, "gone.png")),
    ]
    Image.new("RGB", (32, 32)).save(folder / "bad.jpg")
    (folder / "empty.png").unlink()
    (folder / "gone.png").unlink()
    assert main(command) == 0, "a picture that was mended is labelled, and one that is gone is no part of the data"
    assert "3 pictures with" in capsys.readouterr().out


@pytest.mark.slow
def test_a_replaced_picture_is_labelled_again(done: Path, streets: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(streets, tmp_path / "streets"))
    output = tmp_path / "run"
    run(job(folder, output))
    Image.new("RGB", (64, 48), "grey").save(folder / "morning/0.png")
    seen: list[tuple[int, int]] = []
    run(job(folder, output), lambda *counts: seen.append(counts))
    assert seen == [(4, 5), (5, 5)]
    data = json.loads((output / "coco/annotations/instances_default.json").read_text())
    sizes = {one["file_name"]: (one["width"], one["height"]) for one in data["images"]}
    assert sizes["morning/0.png"] == (64, 48)


def test_folders_that_are_refused(done: Path, streets: Path, tmp_path: Path) -> None:
    other = {"recipe": recipe(concepts=("sky",))}
    with pytest.raises(OutputError, match=r"another run, which differs in --concepts \(road, car there, sky now\)"):
        run(job(streets, done, **other))
    with pytest.raises(OutputError, match="differs in the sources"):
        run(job(streets / "morning", done))
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(OutputError, match=r"holds other files \(thesis.doc\)"):
        run(job(streets, tmp_path))
    with pytest.raises(OutputError, match="a file of that name exists"):
        run(job(streets, tmp_path / "thesis.doc"))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]
    with run_folder.claimed(tmp_path / "busy", {}), pytest.raises(OutputError, match="another process is labelling"):
        run(job(streets, tmp_path / "busy"))


def test_another_bundle_is_refused(done: Path, streets: Path, tmp_path: Path) -> None:
    found = json.loads((done / "run.json").read_text())
    output = copied(done, tmp_path)
    (output / "run.json").write_text(json.dumps({**found, "bundle": "0" * 64}))
    with pytest.raises(OutputError, match=r"differs in the bundle \(000000000000 there, "):
        run(job(streets, output))


def test_what_is_refused_before_any_work(streets: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownConceptError, match=r"no concept 'caar'. Did you mean 'car'"):
        run(job(streets, tmp_path / "run", recipe=recipe(concepts=("caar",))))
    with pytest.raises(InputError, match=r"concepts named twice.*car"):
        run(job(streets, tmp_path / "run", recipe=recipe(concepts=("car", "CAR"))))
    with pytest.raises(InputError, match=r"no such data set format: cocoa. Known: coco"):
        run(job(streets, tmp_path / "run", formats=("cocoa",)))
    with pytest.raises(InputError, match="workers must be a whole number"):
        run(job(streets, tmp_path / "run", workers=0))
    assert not (tmp_path / "run").exists()


def test_a_disk_that_is_too_full(streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage)
    with pytest.raises(OutputError, match="the disk has 0 MB left"):
        run(job(streets, tmp_path / "run"))


def test_an_engine_that_cannot_open_leaves_the_folder_free(streets: Path, tmp_path: Path) -> None:
    wrong = job(streets, tmp_path / "run", recipe=recipe(backend="coreml"))
    with pytest.raises(Exception, match="coreml"):
        run(wrong)
    assert run(job(streets / "morning", tmp_path / "run")).pictures == 2


def test_what_was_drawn_is_left_out_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, mark in (("house.overlay.png", None), ("masks.png", png_mark()), ("1.overlay.png", png_mark())):
        Image.new("RGB", (60, 40), "grey").save(folder / name, pnginfo=mark)
    said: list[str] = []
    totals = run(job(folder, tmp_path / "out"), say=said.append)
    assert (totals.pictures, totals.failed) == (1, 0)
    line = f"left out 2 pictures that cgsam drew: {folder}/1.overlay.png, {folder}/masks.png. Name a picture to label"
    assert [one for one in said if one.startswith("left out")] == [f"{line} it too."]
    (folder / "house.overlay.png").unlink()
    with pytest.raises(InputError, match=r"masks\.png: cgsam drew this picture, and there is no other"):
        run(job(folder, tmp_path / "out2"))
