"""What child processes run; importable by name, as spawning demands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsam_edge import Segmenter
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


class Own(OnnxRuntimeBackend):
    """A caller's backend that a child can import."""

    name = "own"


def car(task: tuple[Segmenter, Image.Image]) -> tuple[str, NDArray[np.bool_]]:
    """Return the engine's name and the mask."""
    segmenter, image = task
    return segmenter.backend, segmenter.segment(image, "car")["car"].mask
