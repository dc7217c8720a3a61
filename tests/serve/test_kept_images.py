"""Pictures that are kept encoded: the least recently used goes first, and what grows is counted again."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.opened_model import OpenedModel
from cgsam_edge.serve.kept_images import KeptImages, handle_of
from cgsam_edge.serve.refusal import Refusal
from cgsam_edge.serve.schemas import ConceptPrompt, SegmentOptions
from cgsam_edge.serve.service import SegmentService
from cgsam_edge.serve.settings import ServeSettings
from cgsam_edge.serve.uploads import Upload
from cgsam_edge.serve.work_queue import Turn


def test_the_least_recently_used_goes_first(segmenter: Segmenter, street: bytes) -> None:
    encoded = segmenter.encode(Image.open(io.BytesIO(street)))
    size = 4 * 512 * 512 + sum(one.nbytes for one in encoded.features.values()) + 10
    kept = KeptImages(3 * size, embeddings=10)
    for name in "abc":
        kept.put(name, encoded)
    assert kept.get("a") is encoded
    kept.put("d", encoded)
    assert [kept.get(name) is not None for name in "abcd"] == [True, False, True, True]
    assert (kept.bytes, len(kept)) == (3 * size, 3)
    kept.put("d", encoded)
    assert kept.bytes == 3 * size
    encoded.predict("car", [[130, 130]], zoom=True)
    kept.put("d", encoded)
    assert encoded.part_bytes > 0  # "d" has grown beyond the limit, so that "a" goes
    assert (kept.bytes, len(kept)) == (2 * size + encoded.part_bytes, 2)
    assert kept.get("a") is None


def test_zoom_ends_once_nobody_waits(segmenter: Segmenter, street: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part takes an image's time; a box around the whole picture has nine of them."""
    service = SegmentService(segmenter, ServeSettings(), lambda *_: None)
    turn, compute, begun = Turn(time.monotonic() + 60), OpenedModel.features, []

    def left(*given: Any) -> Any:
        begun.append(given)
        turn.abandoned = len(begun) == 3  # the picture, and two of its parts
        return compute(*given)

    monkeypatch.setattr(OpenedModel, "features", left)
    whole = ConceptPrompt(concept="car", box=[0, 0, 512, 512], zoom=True)
    with pytest.raises(Refusal, match="the time for this request is up"):
        service.segment(Upload("a.png", street), SegmentOptions(prompts=[whole]), "a", turn)
    assert len(begun) == 3
    held = service.images.get(handle_of(street))
    assert held is not None
    assert held.part_bytes > 0
    assert service.images.bytes == service.images._size(held)
