"""Agreement of a written bundle with the PyTorch reference, end to end, through the runtime used on devices."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from cgsam_edge.agreement import logit_error, mask_iou
from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs import normalise_pixels
from cgsam_edge.export.mapped import release_memory
from cgsam_edge.export.one_at_a_time import OneAtATime
from cgsam_edge.image import to_pixels
from cgsam_edge.parity import MaskParity, TargetParity
from cgsam_edge.segmenter import Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.export.reference import ReferenceModel
    from cgsam_edge.runtimes.protocol import Backend

ERROR_LIMIT = {"fp32": 1e-3, "fp16": 0.1}
"""Largest root-mean-square error of the logits, in their standard deviations, by precision."""


def compare_logits(
    concept: str, expected: NDArray[np.float32], got: NDArray[np.float32], score_error: float = 0.0
) -> MaskParity:
    """Compare logits (h, w) of one concept."""
    error, a, b = logit_error(expected, got), expected > 0, got > 0
    return MaskParity(concept, error.max, error.rms, float((a != b).mean()), mask_iou(a, b), float(score_error))


def sample_picture(size: int) -> Image.Image:
    """Return a seeded picture (3:2, ``size`` wide) of gradients and shapes, identical on every machine."""
    rng = np.random.Generator(np.random.PCG64(7))
    height = size * 2 // 3
    y, x = np.mgrid[0:height, 0:size].astype(np.float32)
    waves = [np.sin(x / rng.uniform(9, 60) + rng.uniform(0, 6)) * np.cos(y / rng.uniform(9, 60)) for _ in range(3)]
    picture = np.stack([127 + 60 * wave + 60 * (y / height - 0.5) for wave in waves], axis=-1)
    for _ in range(12):
        left, top = rng.integers(0, size), rng.integers(0, height)
        wide, high = rng.integers(size // 16, size // 4, size=2)
        picture[top : top + high, left : left + wide] = rng.integers(0, 256, size=3)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def measure(model: ReferenceModel, bundle: Path, backend: Backend, concepts: int = 1) -> list[MaskParity]:
    """Segment the sample picture with bundle and reference, with the same points, and compare.

    Args:
        model: the reference model from which the bundle was exported.
        bundle: a complete bundle.
        backend: an engine as an object: the unfinished bundle is then neither tried in a child process before, nor kept
            in the user's cache.
        concepts: number of concepts to compare, from the first.
    """
    size = model.config.sam.image_size
    picture = sample_picture(size)
    release_memory(model)
    pixels = normalise_pixels(torch.from_numpy(to_pixels(picture, size)))
    opened = Segmenter(bundle, backend=OneAtATime(backend), device="cpu", precision="float32", save_memory=True)
    with opened as segmenter, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = segmenter.segment(picture, segmenter.concepts[:concepts], skip_absent=False)
        features = torch.from_numpy(segmenter.bundle.vocabulary.features)
    found = []
    for i, concept in enumerate(result.values()):
        points = torch.from_numpy(concept.points * (size / np.asarray(picture.size))).float()
        expected = model.predict(pixels, features[i : i + 1], (points[None], torch.ones(1, len(points))))
        logits = expected.mask_logits[0, 0].numpy()
        found.append(compare_logits(concept.name, logits, concept.logits, concept.score - expected.iou.item()))
    return found


def check(model: ReferenceModel, bundle: Path, backend: Backend, precision: str) -> TargetParity:
    """Measure, and refuse a bundle that disagrees with the reference.

    Raises:
        ExportError: the error is above the precision's limit.
    """
    found = measure(model, bundle, backend)
    for mask in found:
        if not mask.rms_error <= ERROR_LIMIT[precision]:
            raise ExportError(
                f"the {precision} graphs for {backend.name} disagree with the PyTorch model: error "
                f"{mask.rms_error:.1e} of the logits' standard deviation for {mask.concept!r}, limit "
                f"{ERROR_LIMIT[precision]:.0e}. No bundle was written."
            )
    return TargetParity(tuple(found))
