"""Counting what fusion saves: parameters, multiply-adds and kernels, on tensors without data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from cgsam_edge.export.config import ModelConfig
from cgsam_edge.export.graphs.attention import Chunk, FusedAttention
from cgsam_edge.export.graphs.build import build_graphs
from cgsam_edge.export.reference import ReferenceModel


@dataclass(frozen=True)
class Cost:
    """Cost of one image with one concept and one prompt.

    Attributes:
        parameters: number of learned weights, without tables that the export derives from them.
        macs: multiply-adds of matrix products and convolutions.
        kernels: number of operations that compute, without views.
    """

    parameters: int
    macs: int
    kernels: int


@dataclass(frozen=True)
class FusionCosts:
    """Costs before and after fusion.

    Attributes:
        reference: cost of the unfused model.
        graphs: cost of each fused graph, by name.
    """

    reference: Cost
    graphs: Mapping[str, Cost]

    @property
    def fused(self) -> Cost:
        """Cost of all fused graphs together."""
        costs = self.graphs.values()
        return Cost(sum(c.parameters for c in costs), sum(c.macs for c in costs), sum(c.kernels for c in costs))

    @property
    def summary(self) -> str:
        """A line about the savings of fusion."""
        before, after = self.reference, self.fused
        return (
            f"fusion: parameters {before.parameters / 1e6:.1f} → {after.parameters / 1e6:.1f} M, "
            f"multiply-adds {before.macs / 1e9:.1f} → {after.macs / 1e9:.1f} G, "
            f"kernels {before.kernels} → {after.kernels}"
        )

    def to_manifest(self) -> dict[str, Any]:
        """Return the costs as the manifest holds them."""
        named = {"reference": self.reference, "fused": self.fused, **self.graphs}
        return {name: asdict(cost) for name, cost in named.items()}


class _KernelCounter(TorchDispatchMode):
    """Counts dispatched operations whose result is not a view of an input."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view and func.namespace == "aten"
        return func(*args, **(kwargs or {}))


def _count(run: Callable[[], object]) -> tuple[int, int]:
    kernels = _KernelCounter()
    with torch.inference_mode(), FlopCounterMode(display=False) as flops:
        run()
    with torch.no_grad(), kernels:
        run()
    return flops.get_total_flops() // 2, kernels.count


def reference_cost(config: ModelConfig) -> Cost:
    """Count the unfused model: CLIP's vision tower, the conditioned encoder, and the decoder."""
    config = replace(config, sam=replace(config.sam, shared_blocks=0))
    with torch.device("meta"):
        model = ReferenceModel(config).eval()
        size, dim = config.sam.image_size, config.clip.embed_dim
        pixels, text = torch.empty(1, 3, size, size), torch.empty(1, dim)
        points = torch.empty(1, config.prompt.points, 2), torch.empty(1, config.prompt.points)

    def run() -> None:
        features = model.image_features(pixels)
        embedding = model.encode(pixels, features, text)
        sparse = torch.empty(1, points[0].shape[1] + 1, config.sam.prompt_width, device="meta")
        dense = model.sam.prompt_encoder.mask_downscaling(model.dense_prompt(model.map(features, text)))
        pe = torch.empty_like(embedding)
        model.sam.mask_decoder(embedding, pe, sparse, dense, multimask_output=False)

    parameters = sum(p.numel() for p in (*model.sam.parameters(), *model.clip.visual.parameters()))
    return Cost(parameters, *_count(run))


def fused_cost(config: ModelConfig) -> dict[str, Cost]:
    """Count the graphs, by name.

    Global attention counts as one operation: splitting it into chunks of queries saves memory and has nothing to do
    with fusion.
    """
    with torch.device("meta"):
        graphs = build_graphs(ReferenceModel(config).eval())
    costs = {}
    for graph in graphs:
        for module in graph.module.modules():
            if isinstance(module, FusedAttention):
                module.chunk = Chunk(module.heads, module.side)
        inputs = {name: torch.empty(shape, device="meta") for name, shape in graph.inputs.items()}
        parameters = sum(p.numel() for p in graph.module.parameters())
        costs[graph.name] = Cost(parameters, *_count(partial(graph.module, **inputs)))
    return costs


def fusion_costs(config: ModelConfig) -> FusionCosts:
    """Count a model before and after fusion."""
    return FusionCosts(reference_cost(config), fused_cost(config))
