"""The shipped model, a rendered scene, and one server for all tests that need no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.quality.demo import choice, demo_scene

pytest.importorskip("fastapi", reason="needs the extra 'serve'")

from tests.serve.running import Client, png, running


@pytest.fixture(scope="session")
def segmenter() -> Iterator[Segmenter]:
    with Segmenter(backend="onnxruntime", device="cpu", threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def scene() -> Image.Image:
    chosen = choice()
    return Image.fromarray(demo_scene(chosen.series, chosen.scene).image)


@pytest.fixture(scope="session")
def street(scene: Image.Image) -> bytes:
    return png(scene)


@pytest.fixture(scope="session")
def server(segmenter: Segmenter) -> Iterator[Client]:
    with running(segmenter, max_upload=4 * 2**20) as client:
        yield client
