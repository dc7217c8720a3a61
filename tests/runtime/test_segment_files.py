"""``cgsam segment`` on folders as they are: nothing foreign is overwritten, one bad file ends no run."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Video
from cgsam_edge.cli import main
from cgsam_edge.written_files import is_ours
from tests.runtime import clips
from tests.runtime.test_image_files import exif_with, pages

Run = Callable[..., int]


@pytest.fixture
def run(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run ``cgsam segment`` in this process and an own folder; results go to ``out``."""
    kept = signal.getsignal(signal.SIGTERM)  # which the command line takes for itself
    monkeypatch.chdir(tmp_path)

    def segment(*arguments: object, output: str = "out") -> int:
        fixed = ["--bundle", tiny_bundle, "--backend", "onnxruntime", "--concepts", "car", "--output", output]
        return main(["segment", *map(str, [*arguments, *fixed])])

    yield segment
    signal.signal(signal.SIGTERM, kept)


def photo(path: str | Path) -> Path:
    Image.fromarray(clips.pixels(1)).save(path)
    return Path(path)


def made(folder: str = "out") -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


LABELME = {"version": "5.4.1", "flags": {}, "shapes": [], "imagePath": "street.png", "imageHeight": 66}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("street.json", json.dumps(LABELME).encode()),
        ("street.json", b""),
        ("street.json", b'{"format": "somebody else\'s"}'),
        ("street.overlay.png", None),  # somebody's picture of that name
        ("street.overlay.png", b"\x89PNG\r\n\x1a\n"),
    ],
)
def test_what_others_wrote_is_left_alone(
    run: Run, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None
) -> None:
    photo("street.png")
    photo("other.png")
    if content is None:
        Image.new("RGB", (9, 9)).save(name)
    else:
        Path(name).write_bytes(content)
    before = Path(name).read_bytes()
    assert run("street.png", "other.png", output=".") == 3
    error = capsys.readouterr().err
    assert f"street.png: its result {name} exists and was not written by this version of cgsam segment" in error
    assert "overwrite it with --force" in error
    assert "1 of 2 images could not be used" in error
    assert Path(name).read_bytes() == before
    assert {"other.json", "other.overlay.png"} <= made(".")
    assert len({"street.json", "street.overlay.png"} & made(".")) == 1
    assert run("street.png", "--force", output=".") == 0
    assert Path(name).read_bytes() != before


def test_what_this_product_wrote_is_replaced(run: Run) -> None:
    photo("street.png")
    clips.make(Path("clip.mp4"), 2)
    for _ in range(2):
        assert run("street.png", "clip.mp4") == 0
    assert json.loads(Path("out/street.json").read_text())["format"] == "cgsam-edge masks"
    assert len(list(Video("out/clip.overlay.mp4"))) == 2
    for name, text in (("clip.overlay.mp4", "foreign"), ("clip.jsonl", "{}\n")):
        Path("out", name).write_text(text)
        assert run("street.png", "clip.mp4") == 3
        assert Path("out", name).read_text() == text
        assert run("clip.mp4", "--force") == 0


def unmarked(path: Path) -> None:
    """Make what was written as earlier versions wrote it, without marks."""
    if path.suffix == ".png":
        Image.open(path).save(path)
    elif path.suffix == ".mp4":
        path.write_bytes(path.read_bytes().removesuffix(b"cgsam-edge overlay")[:-8])
    else:
        path.write_text(path.read_text().replace('"format": "cgsam-edge masks", "format_version": 1, ', ""))


def test_what_earlier_versions_wrote_is_replaced(run: Run) -> None:
    photo("street.png")
    clips.make(Path("clip.mp4"), 2)
    for written in range(2):
        assert run("street.png", "clip.mp4") == 0
        for path in () if written else Path("out").iterdir():
            unmarked(path)
    for path in Path("out").glob("*.overlay.*"):  # beside masks that have their mark, a picture without is somebody's
        unmarked(path)
        assert not is_ours(path)
    masks, picture = Path("out/street.json"), Path("out/street.overlay.png")
    unmarked(masks)
    assert is_ours(masks)
    assert is_ours(picture)
    Image.new("RGB", (4, 4)).save(picture)
    assert not is_ours(picture)
    for text in ('{"image": "street.png", "width": 9, "height": 9, "annotations": []}', '{"image": ', '{"image": "a"}'):
        masks.write_text(text)
        assert not is_ours(masks)


def test_an_input_is_never_overwritten(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    photo("a.png")
    photo("a.overlay.png")
    before = Path("a.overlay.png").read_bytes()
    assert run("a.png", "a.overlay.png", "--force", output=".") == 3
    assert "a.png: its result a.overlay.png would overwrite a.overlay.png, which is an input" in capsys.readouterr().err
    assert Path("a.overlay.png").read_bytes() == before
    assert made(".") == {"a.png", "a.overlay.png", "a.overlay.json", "a.overlay.overlay.png"}


def test_a_second_run_leaves_out_the_overlays_of_the_first(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    photo("a.png")
    assert run("a.png", output=".") == 0
    assert run("a.png", "a.overlay.png", output=".") == 0
    assert "warning: a.overlay.png: left out; cgsam drew it" in capsys.readouterr().err
    assert made(".") == {"a.png", "a.json", "a.overlay.png"}
    assert run("a.overlay.png") == 0  # who names it alone means it
    assert "a.overlay.overlay.png" in made()


def test_labels_among_photos_are_left_out(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mix").mkdir()
    photo(Path("mix/a.jpg"))
    photo(Path("mix/colour.png"))
    photo(Path("mix/colour.jpg"))
    for name in ("a", "alone"):
        Image.new("L", (40, 30)).save(f"mix/{name}.png")
    assert run("mix") == 0
    assert capsys.readouterr().err.count("left out; it looks like the label of the image of the same name") == 1
    pictures = {"a.json", "alone.json", "colour.jpg.json", "colour.png.json"}
    assert {name for name in made() if name.endswith(".json")} == pictures
    assert run("mix", "mix/a.png") == 0
    assert {"a.jpg.json", "a.png.json"} <= made()


def test_one_file_by_two_spellings_is_one(run: Run) -> None:
    photo("a.png")
    assert run("a.png", "./a.png", Path.cwd() / "a.png") == 0
    assert made() == {"a.json", "a.overlay.png"}


def test_bad_files_end_no_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos").mkdir()
    for name in ("a.png", "z.png"):
        photo(Path("photos", name))
    exif = exif_with(6, 0x011A, 2, b"72 dpi, they say\0")
    Image.fromarray(clips.pixels(1)).save("photos/exif.jpg", exif=exif)
    Path("photos/empty.png").touch()
    Path("photos/cut.jpg").write_bytes(Path("photos/exif.jpg").read_bytes()[:700])
    Path("photos/folder.png").mkdir()
    Path("photos/link.png").symlink_to("nowhere.png")
    Path("photos/._a.png").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    Path("photos/.hidden.png").write_bytes(b"")
    Path("photos/notes.txt").write_text("no image")
    os.mkfifo("photos/pipe.png")
    Image.new("1", (20_000, 10_000)).save("photos/bomb.png")
    cv2.imwrite("photos/deep.png", np.full((20, 30, 3), 900, np.uint16))
    assert run("photos", "missing.png", "nothing*.png") == 3
    error = capsys.readouterr().err.splitlines()
    wanted = {
        "photos/empty.png: an empty file (0 bytes)",
        "photos/cut.jpg: corrupt, truncated or unreadable",
        "photos/link.png: a link to 'nowhere.png', which does not exist",
        "photos/pipe.png: not a file, but a pipe",
        "photos/bomb.png: over 100 megapixels",
        "photos/deep.png: has 16 bits a channel, but its values go from 900 to 900",
        "missing.png: no such file",
        "nothing*.png: no such file",
    }
    for words in wanted:
        assert sum(line.startswith(f"cgsam: error: {words}") for line in error) == 1, (words, error)
    assert error[-1] == "8 of 11 images could not be used; see above."
    assert len(error) == 9, error
    assert made() == {f"{stem}{end}" for stem in ("a", "z", "exif") for end in (".json", ".overlay.png")}
    assert json.loads(Path("out/exif.json").read_text())["width"] == clips.SIZE[1]  # it stands upright


def test_an_unforeseen_error_names_the_file_and_ends_no_run(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cgsam_edge.results import Result

    photo("a.png")
    Image.new("RGB", (50, 40)).save("b.png")
    overlay = Result.overlay

    def faulty(self: Result) -> Image.Image:
        if self.image.width == 50:
            raise ZeroDivisionError("a fault of ours")
        return overlay(self)

    monkeypatch.setattr(Result, "overlay", faulty)
    assert run("b.png", "a.png") == 3
    assert "b.png: internal error: ZeroDivisionError: a fault of ours" in capsys.readouterr().err
    assert made() == {"a.json", "a.overlay.png"}


def test_depth_and_page_on_the_command_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    deep = np.random.default_rng(0).integers(0, 4096, (40, 60, 3), dtype=np.uint16)
    cv2.imwrite("deep.png", deep)
    cv2.imwrite("same.png", np.round(deep * (255 / 4095)).astype(np.uint8))
    assert run("deep.png", "same.png", "--bits", 12) == 0
    documents = [json.loads(Path(f"out/{name}.json").read_text()) for name in ("deep", "same")]
    assert documents[0]["annotations"] == documents[1]["annotations"]
    first, second = clips.pixels(1), clips.pixels(7)
    Image.fromarray(first).save("two.tif", save_all=True, append_images=[Image.fromarray(second)])
    Image.fromarray(second).save("second.png")
    assert run("two.tif") == 0
    assert "cgsam: warning: two.tif: holds 2 pictures, and the first is taken" in capsys.readouterr().err
    assert run("two.tif", "second.png", "--page", 2) == 3
    error = capsys.readouterr().err
    assert "second.png: holds one picture; there is no page 2" in error
    assert "warning" not in error
    assert run("second.png") == 0
    documents = [json.loads(Path(f"out/{name}.json").read_text()) for name in ("two", "second")]
    assert documents[0]["annotations"] == documents[1]["annotations"]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_as_a_video(run: Run, suffix: str) -> None:
    pages(Path(f"moving{suffix}"))
    assert run(f"moving{suffix}", "--every", 1) == 0
    assert made() == {"moving.overlay.mp4", "moving.jsonl"}
    lines = [json.loads(line) for line in Path("out/moving.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["time"]) for line in lines] == [(0, 0), (1, 0.1), (2, 0.14)]
    overlay = Video("out/moving.overlay.mp4")
    assert overlay.expected() / overlay.fps == pytest.approx(0.44, abs=0.04)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["rec.mkv", "rec.mp4"])
def test_the_overlay_of_a_sparse_video_keeps_its_time(
    run: Run, capsys: pytest.CaptureFixture[str], without_av: None, name: str
) -> None:
    """As MPEG-4, which repeats frames; that H.264 keeps their times is in tests/live."""
    times = (0, 0.04, 0.08, 0.12, 0.52, 0.56, 1.0, 1.4, 1.84, 1.88)
    clips.sparse(Path(name), times)
    assert run(name) == 0
    assert "error" not in capsys.readouterr().err
    lines = [json.loads(line) for line in Path("out/rec.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([line["time"] for line in lines], times, atol=2e-3)
    overlay = Video("out/rec.overlay.mp4")
    assert overlay.fps == pytest.approx(25)
    shown = list(overlay)
    assert len(shown) == 48  # 1.92 seconds
    for frame in shown:  # each shows what the recorder showed at that time
        number = max(n for n, time in enumerate(times) if time <= frame.seconds + 0.02)
        width, height = clips.SIZE
        errors = [
            np.abs(frame.image[:height, :width].astype(int) - clips.pixels(n)[..., ::-1]).mean() for n in range(10)
        ]
        assert np.argmin(errors) == number, (frame.seconds, errors)


def test_names_as_long_as_they_can_be(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    fits, too_long = "f" * (255 - len(".overlay.png")), "t" * (255 - len(".png"))
    photo("a.png").rename(f"{fits}.png")
    photo("a.png").rename(f"{too_long}.png")
    clips.make(Path("a.mp4"), 2).rename(f"{'v' * 240}.mp4")
    photo("a.png")
    assert run(f"{too_long}.png", f"{fits}.png", f"{'v' * 240}.mp4", "a.png") == 3
    error = capsys.readouterr().err
    assert (
        f"{too_long}.png: the name of its result, including .overlay.png, has 263 bytes; the limit in that folder is "
        "255" in error
    )
    assert made() == {
        "a.json", "a.overlay.png", f"{fits}.json", f"{fits}.overlay.png",
        f"{'v' * 240}.jsonl", f"{'v' * 240}.overlay.mp4",
    }  # fmt: skip
