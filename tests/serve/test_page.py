"""The page that the server shows: its files, and what a person does with it in Chromium."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.opencv import cv2
from cgsam_edge.quality.demo import choice, demo_scene
from cgsam_edge.quality.scenes.concepts import CONCEPTS
from cgsam_edge.serve.assets import assets
from tests.serve.running import Client, running
from tests.web.node import NODE, npm, run

__all__ = ["npm"]  # a fixture

TOKEN = "a-token-for-the-page-alone"
LARGEST = 200_000
PAGE, SOURCES = "tests/browser/serve.test.ts", "tests/browser/serve_sources.test.ts"
LONGEST = 300  # seconds; ten is usual


def test_the_page_and_its_files(server: Client) -> None:
    page = server.get("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    named = set(re.findall(r'(?:src|href)="(?!#)([^"]+)"', page.body.decode()))
    assert named == {"icon.svg", "style.css", "main.js", "docs"}
    for name in (*named, "sample.webp"):
        assert server.get(f"/{name}").status == 200
    assert server.get("/main.js").headers["content-type"].startswith("text/javascript")
    assert server.get("/index.html").status == 404  # one address for one page


def test_the_page_is_small_and_names_no_other_host() -> None:
    assert sum(len(one.content) for one in assets().values()) < LARGEST
    for path, one in assets().items():
        if not path.endswith(".webp"):
            addresses = set(re.findall(rb"https?://[^\s\"'`)]+", one.content))
            assert addresses <= {b"http://www.w3.org/2000/svg"}, path


@pytest.mark.slow
@pytest.mark.skipif(
    "CGSAM_BROWSER" not in os.environ,
    reason="make test-web runs it: beside other work, Chromium's downloads stop at times",
)
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("token", "passes"), [(None, 19), (TOKEN, 10)])
def test_in_a_browser(
    npm: str, segmenter: Segmenter, scene: Image.Image, street: bytes, tmp_path: Path, token: str | None,
    passes: int, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Drop, click, shift-click, box, keys, downloads, camera; with a token, and without."""
    files = [PAGE] if token else [PAGE, SOURCES]
    picture = tmp_path / "street.png"
    picture.write_bytes(street)
    states = {one.name: "present" if one.present else "absent" for one in segmenter.segment(scene).values()}
    with running(segmenter, token=token) as client:
        monkeypatch.setenv("CGSAM_SERVE", f"http://127.0.0.1:{client.port}/")
        monkeypatch.setenv("CGSAM_SERVE_TOKEN", token or "")
        monkeypatch.setenv("CGSAM_SERVE_PICTURE", str(picture))
        monkeypatch.setenv("CGSAM_SERVE_STATES", json.dumps(states))
        monkeypatch.setenv("CGSAM_SERVE_CAR", json.dumps(_middle_of_a_car()))
        assert NODE is not None
        command = [NODE, "--import", "tsx", "--test", "--test-concurrency=1", *files]
        printed = run(*command, check=False, timeout=LONGEST).stdout
    assert "# fail 0" in printed, printed[-6000:]
    if re.search(r"# SKIP no Chromium", printed):
        pytest.skip("there is no Chromium (variable CHROMIUM)")
    assert re.findall(r"# pass (\d+)", printed) == [str(passes)]


def _middle_of_a_car() -> tuple[float, float]:
    """The point of the scene's label "car" that lies farthest within, as shares of the sides."""
    chosen = choice()
    labelled = demo_scene(chosen.series, chosen.scene)
    car = (labelled.labels == CONCEPTS.index("car")).astype(np.uint8)
    _, _, _, (x, y) = cv2.minMaxLoc(cv2.distanceTransform(car, cv2.DIST_L2, 5))
    height, width = car.shape
    return (x + 0.5) / width, (y + 0.5) / height
