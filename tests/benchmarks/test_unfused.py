"""What the unfused contenders compute beside their graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.unfused import plain_pixels
from cgsam_edge.export.graphs import normalise_pixels
from cgsam_edge.image import to_pixels


@pytest.mark.parametrize("side", [40, 300, 512])
def test_plain_preparation_gives_the_pixels_of_the_reference_model(side: int) -> None:
    """So that masks of all contenders can be compared."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))
    expected = normalise_pixels(torch.from_numpy(to_pixels(picture, 256))).numpy()
    found = plain_pixels(picture, 256)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, expected, atol=2e-6)
