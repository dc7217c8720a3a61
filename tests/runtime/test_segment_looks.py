"""``cgsam segment --blur`` and ``--cutout``: what is hidden, what is kept, and under which names."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cgsam_edge import InputError, Segmenter, UnknownConceptError, Video
from cgsam_edge.cli import main
from cgsam_edge.quality.demo import choice, demo_scene
from cgsam_edge.rle import decode_rle
from tests.commands import cgsam
from tests.runtime import clips

Run = Callable[..., int]


@pytest.fixture
def run(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run ``cgsam segment`` in this process and an own folder; results go to ``out``."""
    kept = signal.getsignal(signal.SIGTERM)  # which the command line takes for itself
    monkeypatch.chdir(tmp_path)

    def segment(*arguments: object) -> int:
        fixed = ["--bundle", tiny_bundle, "--backend", "onnxruntime", "--output", "out"]
        return main(["segment", *map(str, [*arguments, *fixed])])

    yield segment
    signal.signal(signal.SIGTERM, kept)


def noise(seed: int = 0) -> NDArray[np.uint8]:
    """Return a picture in which no pixel equals its neighbours."""
    return np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)


def masks(path: str) -> NDArray[np.bool_]:
    """Return the union of the masks that a document holds, of concepts that are present."""
    document = json.loads(Path(path).read_text().splitlines()[0])
    found = [decode_rle(one["segmentation"]) for one in document["annotations"] if one["present"]]
    return np.asarray(np.logical_or.reduce(found), bool)


def test_an_image_blurred(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(noise()).save("a.png")
    assert run("a.png", "--blur", "car", "--margin", 0) == 0
    assert {path.name for path in Path("out").iterdir()} == {"a.blurred.png", "a.json"}
    assert "→ out/a.blurred.png" in capsys.readouterr().out
    picture, mask = np.asarray(Image.open("out/a.blurred.png")), masks("out/a.json")
    assert picture.shape == noise().shape
    assert 0 < mask.sum() < mask.size
    np.testing.assert_array_equal(picture[~mask], noise()[~mask])  # nothing else changes
    assert picture[mask].std() < 0.25 * noise()[mask].std()  # of noise, nothing is left but its mean
    document = json.loads(Path("out/a.json").read_text())
    assert [one["category"] for one in document["annotations"]] == ["car"]  # --blur alone computes no other concept


@pytest.mark.slow
def test_a_picture_or_video_without_anything_to_blur_says_so(tmp_path: Path) -> None:
    """With the reference model, which is calibrated; a video says it only if no frame had anything."""
    grey, street = np.full((512, 512, 3), 128, np.uint8), demo_scene(1, choice().scene).image
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(street).save(tmp_path / "street.png")
    for name, frames in (("none", [grey, grey - 9]), ("one", [grey, street])):
        first, second = map(Image.fromarray, frames)
        first.save(tmp_path / f"{name}.png", save_all=True, append_images=[second], duration=500)
    fixed = ("--every", 1, "--blur", "car,pedestrian", "--concepts", "road", "--backend", "onnxruntime")
    done = cgsam("segment", "grey.png", "street.png", "none.png", "one.png", *fixed, "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = {line.partition(":")[0]: line.endswith("; nothing was found to blur") for line in done.stdout.splitlines()}
    wanted = {"grey.png": True, "street.png": False, "none.png": True, "one.png": False}
    assert wanted.items() <= said.items(), done.stdout
    kept = ("--cutout", "--concepts", "car", "--backend", "onnxruntime")
    done = cgsam("segment", "grey.png", "street.png", *kept, "--output", "cut", cwd=tmp_path)
    grey_line, street_line = sorted(done.stdout.splitlines()[:2])
    assert grey_line.endswith("; nothing was found to keep")
    assert "nothing was found" not in street_line


@pytest.mark.slow
def test_what_is_marked_is_there(tmp_path: Path) -> None:
    """Whoever clicks on a thing says that it is there, whatever presence says; one who only clicks outside does not."""
    Image.fromarray(np.full((512, 512, 3), 128, np.uint8)).save(tmp_path / "grey.png")
    fixed = ("grey.png", "--concepts", "car", "--backend", "onnxruntime", "--output", "out")
    for marks, present in (
        (("--point", "200,300"), True),
        (("--box", "100,100,300,300"), True),
        (("--not-point", "9,9"), False),
    ):
        done = cgsam("segment", *fixed, *marks, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        [entry] = json.loads((tmp_path / "out" / "grey.json").read_text())["annotations"]
        assert entry["present"] is present
        assert entry["presence"] < 0.5
        assert ("car absent" in done.stdout) is not present
    done = cgsam("segment", "grey.png", "--blur", "Vehicle", "--point", "200,300", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr  # a synonym, written in another way


def test_blurring_widens_masks_by_a_cell(tiny_segmenter: Segmenter) -> None:
    result = tiny_segmenter.segment(noise(), "car")
    side = len(result["car"].logits)
    changed = (np.asarray(result.blurred()) != noise()).any(axis=2)
    cell = -(-128 // side)
    ys, xs = np.nonzero(result["car"].mask)
    y, x = int(ys[0]), int(xs[0])
    assert changed[max(0, y - cell) : y + 1, x].mean() > 0.9
    with pytest.raises(InputError, match="margin must be a whole number"):
        result.blurred(margin=-1)
    with pytest.raises(InputError, match="cells must be a whole number"):
        result.blurred(cells=0)
    with pytest.raises(UnknownConceptError):
        result.blurred("unicorn")


def test_a_cut_out_image(run: Run) -> None:
    Image.fromarray(noise()).save("a.png")
    assert run("a.png", "--cutout", "--concepts", "car") == 0
    assert {path.name for path in Path("out").iterdir()} == {"a.cutout.png", "a.json"}
    picture, mask = np.asarray(Image.open("out/a.cutout.png")), masks("out/a.json")
    np.testing.assert_array_equal(picture[..., 3], np.where(mask, 255, 0))
    np.testing.assert_array_equal(picture[mask][:, :3], noise()[mask])
    assert not picture[~mask].any()  # no background under the transparency
    assert run("a.png", "--cutout", "--concepts", "car", "--background", "ff8000") == 0
    flat = np.asarray(Image.open("out/a.cutout.png"))
    assert flat.shape == (96, 128, 3)
    assert (flat[~mask] == (255, 128, 0)).all()


def test_a_later_run_leaves_out_what_was_drawn(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Image.fromarray(noise()).save("out/a.png")
    assert run("out", "--blur", "car") == 0
    assert run("out", "--cutout", "--concepts", "car") == 0
    assert run("out/*.png", "--blur", "car") == 0
    assert {path.name for path in Path("out").iterdir()} == {"a.png", "a.json", "a.blurred.png", "a.cutout.png"}
    assert "out/a.cutout.png: left out; cgsam drew it" in capsys.readouterr().err


@pytest.mark.parametrize("look", [("--blur", "car,road"), ("--cutout", "--concepts", "car", "--background", "0000ff")])
def test_a_video_keeps_its_frames_and_times(run: Run, look: tuple[str, ...]) -> None:
    pytest.importorskip("av", reason="PyAV is not installed (the extra 'video')")
    times = (0, 0.04, 0.08, 0.5, 0.9)
    clips.sparse(Path("rec.mp4"), times, sound=1)
    assert run("rec.mp4", *look) == 0
    (path,) = Path("out").glob("*.mp4")
    assert path.name == ("rec.blurred.mp4" if look[0] == "--blur" else "rec.cutout.mp4")
    before, after = list(Video("rec.mp4")), list(Video(path))
    assert [frame.seconds for frame in after] == [frame.seconds for frame in before]
    mask = masks("out/rec.jsonl")
    first = after[0].image[: clips.SIZE[1], : clips.SIZE[0]].astype(int)
    if look[0] == "--cutout":
        blue, still = np.abs(first - (0, 0, 255)), np.abs(first - before[0].image)
        assert blue[~mask].mean() < 0.6 * still[~mask].mean()  # the codec smears colours at borders
    else:
        different = np.abs(first - before[0].image).max(axis=2)
        assert different[~mask].mean() < 12


def test_a_cut_out_video_with_transparency(run: Run) -> None:
    pytest.importorskip("av", reason="PyAV is not installed (the extra 'video')")
    clips.make(Path("clip.mp4"), 3)
    for _ in range(2):  # a second run knows its own file
        assert run("clip.mp4", "--cutout", "--concepts", "car", "--container", "webm") == 0
    assert {path.name for path in Path("out").iterdir()} == {"clip.cutout.webm", "clip.jsonl"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--margin", "3"], "--margin is for --blur"),
        (["--background", "ffffff"], "--background is for --cutout"),
        (["--blur", ","], "--blur names no concept"),
        (["--blur", "unicorn"], "no concept 'unicorn'"),
    ],
)
def test_refusals(run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    Image.fromarray(noise()).save("a.png")
    assert run("a.png", *arguments) == (3 if "unicorn" in arguments else 2)
    assert message in capsys.readouterr().err


def test_a_colour_is_six_hexadecimal_digits(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("a.png", "--cutout", "--background", "red")
    assert "six hexadecimal digits, such as ffffff, got 'red'" in capsys.readouterr().err


def test_webm_needs_av(run: Run, without_av: None, capsys: pytest.CaptureFixture[str]) -> None:
    clips.make(Path("clip.mp4"), 2)
    assert run("clip.mp4", "--container", "webm", "--concepts", "car") == 3
    assert "pip install 'cgsam-edge[video]'" in capsys.readouterr().err
