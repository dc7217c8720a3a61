"""PyTorch's own kernel of attention computes what the form for converters does."""

from __future__ import annotations

import pytest
import torch

from cgsam_edge.export.graphs import attention, kernels
from cgsam_edge.export.graphs.attention import FusedAttention
from cgsam_edge.export.graphs.build import build_graphs
from tests import tiny
from tests.conftest import relative_error

EXACT = 1e-5


def test_pytorchs_kernel_of_attention_gives_the_same() -> None:
    for graph in build_graphs(tiny.model(tiny.config())):
        with torch.inference_mode():
            expected = graph.module(**graph.example())
        for name, value in graph.run(graph.example()).items():
            torch.testing.assert_close(value, expected[name], rtol=EXACT, atol=EXACT)


def test_the_kernel_takes_as_many_heads_as_the_caches_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.model(tiny.config())
    fused = FusedAttention(made.sam.image_encoder.blocks[1], made.config.sam)
    x = torch.randn(2, 8 * 8, made.config.sam.width)
    with torch.inference_mode():
        expected = fused(x)
        monkeypatch.setattr(attention, "_CACHE_BYTES", 4 * 8**4)
        with kernels.using():
            assert relative_error(fused(x), expected) < EXACT
