"""The model that comes with the package, and a scene twice as wide and high as it sees."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from cgsam_edge.quality.scenes.render import Scene, render
from cgsam_edge.segmenter import Segmenter


@pytest.fixture(scope="session")
def reference() -> Iterator[Segmenter]:
    """The reference model."""
    with Segmenter(backend="onnxruntime", threads=1) as segmenter:
        yield segmenter


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A picture of 1024 pixels square, with labels."""
    return render(1, 5, 1024, 1024)


@pytest.fixture(scope="session")
def picture(scene: Scene) -> np.ndarray:
    return scene.image
