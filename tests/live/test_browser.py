"""Chromium plays what is written, H.264 with sound and transparency in WebM; and not MPEG-4, as a warning says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest

from cgsam_edge.live.mpeg4 import Mpeg4Video
from cgsam_edge.live.playable import PlayableVideo
from tests.live.test_playable import copy, film

pytest.importorskip("av", reason="PyAV is not installed (the extra 'video')")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

PAGE = """<!doctype html><body style="background:#00f"><video muted></video><script>
const video = document.querySelector("video"), times = [], alphas = [];
const send = (found) => fetch("/done", {method: "POST", body: JSON.stringify(found)});
const look = (_, facts) => {
  times.push(facts.mediaTime);
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  alphas.push([8, video.videoWidth - 8].map((x) => context.getImageData(x, 20, 1, 1).data[3]));
  video.requestVideoFrameCallback(look);
};
video.onerror = () => send({error: video.error.code, message: video.error.message});
video.onended = () => send({times, alphas, size: [video.videoWidth, video.videoHeight],
  duration: video.duration, sound: video.webkitAudioDecodedByteCount});
video.requestVideoFrameCallback(look);
video.src = location.hash.slice(1);
video.play();
</script>"""

Play = Callable[[Path], dict[str, Any]]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """Play a file in Chromium, from a server that the file lies on; return what the page saw."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here; name one in the variable CHROMIUM")
    browser, found = CHROMIUM, Queue[dict[str, Any]]()

    class Handler(SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            found.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "page.html").write_text(PAGE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def show(file: Path) -> dict[str, Any]:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
        quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        address = f"http://127.0.0.1:{server.server_port}/page.html#{file.name}"
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        debugging = "--remote-debugging-port=0"  # keeps the browser open
        process = subprocess.Popen(
            [browser, *options, *quiet, profile, debugging, address],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return found.get(timeout=90)
        finally:
            process.terminate()
            process.wait(30)

    yield show
    server.shutdown()


def test_h264_with_sound(tmp_path: Path, play: Play) -> None:
    source = film(tmp_path / "a.mp4", "10", "-c:v", "libx264", "-c:a", "aac")
    copy(source, tmp_path / "b.mp4")
    seen = play(tmp_path / "b.mp4")
    assert "error" not in seen, seen
    assert seen["size"] == [320, 240]
    assert seen["duration"] == pytest.approx(2, abs=0.1)
    assert seen["sound"] > 0
    assert len(seen["times"]) > 5  # a busy machine shows fewer than there are
    assert all(abs(time * 10 - round(time * 10)) < 0.02 for time in seen["times"])


def test_a_recording_in_fragments(tmp_path: Path, play: Play) -> None:
    made = PlayableVideo(tmp_path / "a.mp4", (64, 48), fragmented=True)
    for number in range(10):
        made.add(np.full((48, 64, 3), 20 * number, np.uint8), number / 10)
    made.close(1)
    seen = play(tmp_path / "a.mp4")
    assert "error" not in seen, seen
    assert seen["times"][-1] >= 0.5


def test_transparency(tmp_path: Path, play: Play) -> None:
    made = PlayableVideo(tmp_path / "a.webm", (128, 96), rate=10, alpha=True)
    image = np.zeros((96, 128, 4), np.uint8)
    image[:, :64] = (200, 60, 30, 255)
    for number in range(10):
        made.add(image, number / 10)
    made.close(1)
    seen = play(tmp_path / "a.webm")
    assert "error" not in seen, seen
    left, right = seen["alphas"][-1]
    assert left > 240
    assert right < 15


@pytest.mark.slow
def test_mpeg_4_is_not_played(tmp_path: Path, play: Play) -> None:
    made = Mpeg4Video(tmp_path / "a.mp4", (64, 48), rate=10, timed=True)
    for number in range(10):
        made.add(np.full((48, 64, 3), 20 * number, np.uint8), number / 10)
    made.close()
    assert play(tmp_path / "a.mp4")["error"] == 4  # MEDIA_ERR_SRC_NOT_SUPPORTED
