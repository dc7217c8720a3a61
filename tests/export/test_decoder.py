"""The decoder's fixed slots give the logits of segment_anything's own call with exactly the given prompts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cgsam_edge.export.graphs.build import build_graphs
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.manifest import Geometry, Prompting
from cgsam_edge.prompts import Clicks, fill_slots
from tests.conftest import relative_error

SIZE = 128
GEOMETRY = Geometry(image_size=SIZE, mask_size=32, patch_grid=4, embed_dim=48)
POINTS = np.asarray([[10, 20], [64.25, 3], [100, 90.5], [7, 7], [30, 120]], np.float32)
LABELS = np.asarray([1, 0, 1, 1, 0], np.float32)
BOX = np.asarray([5, 6, 90, 100.5], np.float32)


@pytest.mark.parametrize("slots", [5, 8, 16])
@pytest.mark.parametrize(("count", "box"), [(1, None), (5, None), (0, BOX), (1, BOX), (5, BOX)])
def test_unused_slots_change_nothing(model: ReferenceModel, slots: int, count: int, box: np.ndarray | None) -> None:
    embedding, dense = torch.randn(1, 32, 8, 8), (torch.rand(1, 1, 32, 32) > 0.5).float() * 255
    clicks = Clicks(POINTS[:count], LABELS[:count], box)
    given = (torch.from_numpy(POINTS[None, :count]), torch.from_numpy(LABELS[None, :count])) if count else None
    with torch.inference_mode():
        logits, iou = model.decode(embedding, dense, given, None if box is None else torch.from_numpy(box)[None])
    points, labels = fill_slots(clicks, (SIZE, SIZE), GEOMETRY, Prompting(0.8, 5, 255, slots, ("text",), "tokens"))
    assert labels.shape == (1, slots + 3)
    inputs = {"image_embedding": embedding, "dense_prompt": dense}
    inputs |= {"points": torch.from_numpy(points), "labels": torch.from_numpy(labels)}
    got = build_graphs(model, slots).decoder.run(inputs)
    assert relative_error(got["mask_logits"], logits) < 1e-5
    assert abs(got["iou"].item() - iou.item()) < 1e-5


def test_padding_with_sams_own_label_would_not_be_neutral(model: ReferenceModel) -> None:
    """The mask is needed: one more "not a point" token moves the logits."""
    embedding, dense = torch.randn(1, 32, 8, 8), torch.zeros(1, 1, 32, 32)
    decoder = build_graphs(model, 4).decoder
    labels = torch.tensor([[1.0, -2, -2, -2, -2, -2, -1]])
    inputs = {"image_embedding": embedding, "dense_prompt": dense, "points": torch.full((1, 7, 2), 9.0)}
    clean = decoder.run({**inputs, "labels": labels})["mask_logits"]
    labels[0, 1] = -1
    assert relative_error(decoder.run({**inputs, "labels": labels})["mask_logits"], clean) > 1e-3
