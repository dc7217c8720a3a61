"""Record what the reference model computes from a picture that any machine can draw.

Run once, when the reference agreed with upstream on real frames: ``python -m tests.golden.record_picture``.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cgsam_edge.export.graphs import normalise_pixels
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.parity import sample_picture
from cgsam_edge.export.reference import ReferenceModel, text
from cgsam_edge.image import to_pixels
from tests.golden import make_checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

POINTS = ((200.0, 300.0), (700.5, 610.25))


def compute(model: ReferenceModel) -> dict[str, NDArray[np.float32]]:
    """Return features, embedding and logits of the picture for "car" with two clicks."""
    raw = text.raw_feature(model.clip, ["car"])
    t = text.text_feature(raw, text.redundant_feature(model.clip))[None]
    pixels = normalise_pixels(torch.from_numpy(to_pixels(sample_picture(480), model.config.sam.image_size)))
    points = (torch.tensor(POINTS)[None], torch.tensor([[1.0, 0.0]]))
    got = model.predict(pixels, t, points)
    with torch.inference_mode():
        features = model.image_features(pixels)
    return {
        "features": features[0, ::8, ::4].numpy(),
        "text_feature": t.numpy(),
        "image_embedding": got.image_embedding[:, ::8, ::4, ::4].numpy(),
        "mask_logits": got.mask_logits[0, 0, ::2, ::2].numpy(),
    }


def main() -> None:
    """Write ``small_picture.npz`` beside this file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "small.pth"
        torch.save(make_checkpoint.make("small"), path)
        arrays: dict[str, Any] = compute(load_reference(path))
        np.savez_compressed(Path(__file__).with_name("small_picture.npz"), **arrays)


if __name__ == "__main__":
    main()
