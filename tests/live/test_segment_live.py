"""``cgsam segment`` on a camera, against real servers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

from cgsam_edge import Video
from cgsam_edge.cli.live_options import Rotation, rotation
from tests.commands import cgsam, fails
from tests.conftest import executable
from tests.live.conftest import Serve, mostly_http


def lines(folder: Path) -> list[dict[str, object]]:
    texts = [text for file in sorted(folder.glob("*.jsonl")) for text in file.read_text().splitlines()]
    return [json.loads(text) for text in texts]


@mostly_http
def test_until_interrupted(serve: Serve, tiny_bundle: Path, tmp_path: Path) -> None:
    """With the login in a variable, which no list of processes shows."""
    server, url = serve("someone:hunter2/@!")
    fixed = ["--bundle", str(tiny_bundle), "--backend", "onnxruntime", "--concepts", "car", "--output", "out"]
    process = subprocess.Popen(
        [executable("cgsam"), "segment", url, "--record", "--read-timeout", "2", *fixed],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "CGSAM_CAMERA_LOGIN": "someone:hunter2/@!"},
    )  # fmt: skip
    out = tmp_path / "out"

    def wait_for(count: int) -> None:
        until = time.monotonic() + 60
        while len(lines(out) if out.is_dir() else []) < count:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)

    wait_for(5)
    server.kill()
    time.sleep(1)
    server.start()
    wait_for(len(lines(out)) + 5)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    found = lines(out)
    assert f"{len(found)} frames segmented of " in printed
    assert "found again 1 time;" in printed
    assert "Trying again" in errors
    assert "back after" in errors
    assert [line["frame"] for line in found] == sorted({line["frame"] for line in found})  # type: ignore[type-var]
    assert {line["format"] for line in found} == {"cgsam-edge masks"}
    assert str(found[0]["camera"]).startswith(url.partition(":")[0] + "://***@127.0.0.1:")
    (video,) = out.glob("*.overlay.mp4")
    assert len(list(Video(video))) == len(found)
    everything = printed + errors + "".join(file.name for file in out.iterdir()) + json.dumps(found)
    assert "hunter2" not in everything
    assert "someone" not in everything


@pytest.mark.parametrize("kind", ["http"], indirect=True)
def test_an_interrupt_while_the_camera_is_lost(serve: Serve, tiny_bundle: Path, tmp_path: Path) -> None:
    server, url = serve()
    fixed = ["--bundle", str(tiny_bundle), "--backend", "onnxruntime", "--concepts", "car"]
    process = subprocess.Popen(
        [executable("cgsam"), "segment", url, "--read-timeout", "60", *fixed],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    while not lines(tmp_path):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    server.freeze()
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert re.search(r"\d frames? segmented of", printed)


@pytest.mark.parametrize("kind", ["http"], indirect=True)
def test_a_duration_rotation_and_a_blur(serve: Serve, tiny_bundle: Path, tmp_path: Path) -> None:
    _, url = serve()
    fixed = ["--bundle", tiny_bundle, "--backend", "onnxruntime", "--output", "out"]
    done = cgsam("segment", url, "--blur", "car", "--duration", "3s", "--rotate", "1s", *fixed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "out").glob("*.jsonl"))
    assert len(files) >= 2
    for file in files:
        assert file.with_name(f"{file.stem}.blurred.mp4").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["http"], indirect=True)
def test_a_camera_without_anything_to_blur_says_so(serve: Serve, tmp_path: Path) -> None:
    """With the reference model, which is calibrated; the picture shows a clock."""
    _, url = serve()
    for look, said in ((["--blur", "pedestrian"], True), (["--concepts", "pedestrian"], False)):
        done = cgsam("segment", url, *look, "--duration", "3s", "--backend", "onnxruntime", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "pedestrian absent" in done.stdout
        assert ("; nothing was found to blur" in done.stdout) == said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rtsp://127.0.0.1:1/x", "a.png"], "a camera is segmented alone"),
        (["rtsp://127.0.0.1:1/x", "--every", "2"], "--every is not for cameras"),
        (["77", "--point", "1,1"], "--point is not for cameras"),
        (["77", "--zoom"], "--zoom is not for cameras"),
        (["a.png", "--rotate", "1h"], "--rotate is for cameras"),
        (["77", "--container", "webm"], "--container is for videos; give --record too"),
        (["77"], "camera 77: no such camera"),
        (["rtsp://me:secret@127.0.0.1:1/x"], "rtsp://***@127.0.0.1:1/x: nothing accepts connections there"),
    ],
)
def test_refusals(tiny_bundle: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    pytest.importorskip("av", reason="PyAV is not installed (the extra 'video')")
    fixed = ["--bundle", tiny_bundle, "--backend", "onnxruntime", "--concepts", "car"]
    code = 3 if "127.0.0.1" in message or "no such" in message else 2
    fails(cgsam("segment", *arguments, *fixed, cwd=tmp_path), code, message)


@pytest.mark.parametrize("name", ["0001", "7"])
def test_a_name_of_digits_may_be_a_folder_or_a_file(tiny_bundle: Path, tmp_path: Path, name: str) -> None:
    picture = tmp_path / "0001" / "a.png"
    picture.parent.mkdir()
    Image.new("RGB", (40, 30)).save(picture)
    (tmp_path / "7").write_bytes(picture.read_bytes())
    fixed = ["--bundle", tiny_bundle, "--backend", "onnxruntime", "--concepts", "car", "--output", "out"]
    done = cgsam("segment", name, *fixed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / ("a.json" if name == "0001" else "7.json")).exists()


def test_amounts() -> None:
    assert rotation("500MB") == Rotation(size=500_000_000)
    assert rotation("1.5 h") == Rotation(seconds=5400)
    for wrong in ("5", "0s", "fast", "5 parsecs"):
        with pytest.raises(Exception, match="expected a size such as 500MB or a time such as 1h"):
            rotation(wrong)
