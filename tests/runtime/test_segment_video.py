"""``cgsam segment`` on videos, and on images among them."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter, Video
from cgsam_edge.cli import main
from cgsam_edge.rle import decode_rle
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend
from tests.conftest import executable, slow
from tests.runtime import clips, fakes

Run = Callable[..., int]


@pytest.fixture
def run(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run ``cgsam segment`` in this process and an own folder; results go to ``out``."""
    kept = signal.getsignal(signal.SIGTERM)  # which the command line takes for itself
    monkeypatch.chdir(tmp_path)

    def segment(*arguments: object, backend: str = "onnxruntime", concepts: str = "car,road") -> int:
        fixed = ["--bundle", tiny_bundle, "--backend", backend, "--concepts", concepts, "--output", "out"]
        return main(["segment", *map(str, [*arguments, *fixed])])

    yield segment
    signal.signal(signal.SIGTERM, kept)


def made() -> set[str]:
    return {path.name for path in Path("out").iterdir()}


def read_lines(path: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def assert_same(found: Any, expected: Any) -> None:
    """Two runs of an engine differ in the last bits of a logit, and so in a score's last digit or a border's pixel."""
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)
        assert one["area"] == pytest.approx(other["area"], abs=5)
        different = decode_rle(one["segmentation"]) ^ decode_rle(other["segmentation"])
        assert different.sum() <= 5
        rest = one.keys() - {"score", "area", "segmentation", "bbox"}
        assert {key: one[key] for key in rest} == {key: other[key] for key in rest}


def test_a_video_has_the_masks_of_its_frames(
    run: Run, tiny_segmenter: Segmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    clips.make(Path("clip.mp4"), 7, fps=12)
    assert run("clip.mp4", "--every", 3) == 0
    assert made() == {"clip.overlay.mp4", "clip.jsonl"}
    lines = read_lines("out/clip.jsonl")
    frames = list(Video("clip.mp4", every=3))
    assert [line["frame"] for line in lines] == [frame.number for frame in frames] == [0, 3, 6]
    assert [line["time"] for line in lines] == [0, 0.25, 0.5]
    for line, frame in zip(lines, frames, strict=True):
        expected = tiny_segmenter.segment(frame.image, ["car", "road"]).to_coco()
        assert_same(line["annotations"], json.loads(json.dumps(expected)))
        assert (line["video"], line["width"], line["height"]) == ("clip.mp4", *clips.SIZE)
    out = capsys.readouterr().out
    assert "clip.mp4: 3 frames, car in 3, road in 3 → out/clip.overlay.mp4" in out
    assert "3 images in " in out
    assert "the engine was busy" in out


def test_the_overlay_video(run: Run, tiny_segmenter: Segmenter) -> None:
    clips.make(Path("clip.mp4"), 6, fps=12)
    assert run("clip.mp4", "--every", 2) == 0
    overlays = list(Video("out/clip.overlay.mp4"))
    assert len(overlays) == 3
    assert Video("out/clip.overlay.mp4").fps == pytest.approx(6)
    drawn = [
        np.asarray(tiny_segmenter.segment(frame.image, ["car", "road"]).overlay(), np.int64)
        for frame in Video("clip.mp4", every=2)
    ]
    height, width = drawn[0].shape[:2]
    for n, overlay in enumerate(overlays):
        assert overlay.image.shape == (height + height % 2, width + width % 2, 3)
        errors = [np.abs(overlay.image[:height, :width] - other).mean() for other in drawn]
        assert np.argmin(errors) == n, errors  # the codec loses a little
        assert errors[n] < 20


def test_a_single_frame_is_counted_in_numbers(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    clips.make(Path("clip.mp4"), 2)
    assert run("clip.mp4", "--every", 100) == 0
    assert "clip.mp4: 1 frame, car in 1, road in 1 → " in capsys.readouterr().out


def test_odd_sizes_and_no_rate(run: Run) -> None:
    clips.turned(clips.without_rate(clips.make(Path("clip.mp4"), 3)))
    assert run("clip.mp4", "--every", 2) == 0
    video = Video("out/clip.overlay.mp4")
    assert video.fps == pytest.approx(12.5)
    assert [side % 2 for frame in video for side in frame.image.shape[:2]] == [0] * 4


def test_images_and_videos_in_the_order_given(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    photos = Path("photos")
    photos.mkdir()
    for name in ("a.png", "b.png", ".hidden.png"):
        Image.fromarray(clips.pixels(1)).save(photos / name)
    clips.make(photos / "in-folder.mp4", 2)
    clips.make(Path("a.mp4"), 2)
    clips.make(Path("z.avi"), 3, codec="MJPG")
    assert run("z.avi", "photos", "*.mp4") == 0
    assert made() == {
        *("z.overlay.mp4", "z.jsonl", "b.overlay.png", "b.json"),
        *("a.png.overlay.png", "a.png.json", "a.mp4.overlay.mp4", "a.mp4.jsonl"),
    }
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out[:4]] == ["z.avi", "photos/a.png", "photos/b.png", "a.mp4"]
    assert out[4].startswith("7 images in ")


def test_what_is_spoilt_is_reported_and_the_rest_is_done(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    clips.cut(clips.make(Path("a-cut.avi"), 50, codec="MJPG"), 0.5)
    Path("b-text.mp4").write_text("hello")
    clips.make(Path("c-none.avi"), 0, codec="MJPG")
    clips.make(Path("d.mp4"), 2)
    assert run("*.avi", "*.mp4", "--every", 10) == 3
    said = capsys.readouterr()
    assert made() == {"a-cut.overlay.mp4", "a-cut.jsonl", "d.overlay.mp4", "d.jsonl"}
    kept = len(read_lines("out/a-cut.jsonl"))
    assert 1 < kept < 5
    assert len(list(Video("out/a-cut.overlay.mp4"))) == kept
    errors = said.err.splitlines()
    wanted = ("a-cut.avi: ends after", "c-none.avi: a video without a frame", "b-text.mp4: not a video", "3 of 4 files")
    assert all(want in error for want, error in zip(wanted, errors, strict=True)), errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "--every", "5"], "--every is for videos"),
        (["clip.mp4", "--point", "1,1"], "clip.mp4: --point, --not-point and --box are for images"),
        (["clip.mp4", "--page", "2"], "--page is for images"),
        (["clip.mp4", "--bits", "12"], "--bits is for images"),
        (["photo.png", "--container", "webm"], "--container is for videos"),
        (["photo.png", "--soc", "57"], "--soc 57 names a chip of Qualcomm; give --device qnn too"),
        (["clips"], "clips: folder without images .* with a glob: 'clips/*.mp4'"),
        (["missing.mp4"], "missing.mp4: no such file"),
    ],
)
def test_refusals(run: Run, capsys: pytest.CaptureFixture[str], arguments: Sequence[str], message: str) -> None:
    Image.fromarray(clips.pixels(1)).save("photo.png")
    clips.make(Path("clip.mp4"), 2)
    Path("clips").mkdir()
    clips.make(Path("clips/one.mp4"), 2)
    assert run(*arguments, concepts="car") == (3 if len(arguments) == 1 else 2)
    first, _, second = message.partition(" .* ")
    error = capsys.readouterr().err
    assert first in error
    assert second in error
    assert not Path("out").exists()


@pytest.mark.parametrize("every", ["0", "-1", "1.5", "all"])
def test_every_is_a_whole_number(run: Run, capsys: pytest.CaptureFixture[str], every: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("clip.mp4", f"--every={every}")
    assert stopped.value.code == 2
    assert f"--every: expected a whole number of 1 or more, got '{every}'" in capsys.readouterr().err


def test_an_engine_that_fails_stops_everything(
    run: Run, engines: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    engines(OnnxRuntimeBackend(), fakes.FailsLater())
    clips.make(Path("clip.mp4"), 40)
    assert run("clip.mp4", backend="fails-later") == 3
    assert "the engine has had enough" in capsys.readouterr().err
    assert made() == set()


LIMITED = """
import resource, sys
from cgsam_edge.cli import main
from cgsam_edge.rle import decode_rle
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("size", "count", "message"),
    [
        ((320, 240), 4, "clip.overlay.mp4: could not be written (File too large)"),
        ((32, 24), 300, "clip.jsonl: could not be written"),
    ],
    ids=["big frames", "many frames"],
)
def test_a_full_disk_leaves_nothing(
    run: Run, tiny_bundle: Path, size: tuple[int, int], count: int, message: str
) -> None:
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter("clip.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 10, size)
    for _ in range(count):
        writer.write(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    writer.release()
    done = _subprocess([sys.executable, "-c", LIMITED], tiny_bundle)
    _, errors = done.communicate()
    assert done.returncode == 3, errors
    assert message in errors
    assert made() == set()


def test_a_full_disk_without_av(run: Run, without_av: None, capsys: pytest.CaptureFixture[str]) -> None:
    """OpenCV reports nothing; the frames are counted."""
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter("clip.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 10, (320, 240))
    for _ in range(4):
        writer.write(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8))
    writer.release()
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, kept[1]))
    try:
        assert run("clip.mp4", concepts="car") == 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    said = capsys.readouterr().err
    assert "clip.overlay.mp4: only 0 of 4 frames could be written; the disk is full" in said
    assert said.count("MPEG-4 part 2, which browsers do not play, without sound") == 1
    assert "pip install 'cgsam-edge[video]'" in said
    assert made() == set()


def _subprocess(command: list[str], bundle: Path) -> subprocess.Popen[str]:
    fixed = ["--bundle", str(bundle), "--backend", "onnxruntime", "--concepts", "car", "--output", "out"]
    return subprocess.Popen(
        [*command, "segment", "clip.mp4", *fixed], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, slow(signal.SIGTERM)])
def test_an_interrupt_leaves_nothing(run: Run, tiny_bundle: Path, number: signal.Signals) -> None:
    clips.make(Path("clip.mp4"), 3000)
    process = _subprocess([executable("cgsam")], tiny_bundle)
    while not list(Path().glob("out/.clip.overlay.mp4.partial-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "interrupted; no half-written output was left" in errors
    assert "Traceback" not in errors
    assert made() == set()
