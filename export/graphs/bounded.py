"""A graph in the form that survives half precision: inputs kept in the range that they can have, norms as one operator.

Half precision ends at 65504. A number beyond what the contract allows would become infinite, and one infinite score
makes a whole softmax NaN; and SAM's LayerNorm2d, written out, squares values that may be over 256. Neither changes what
the graph computes for an input that keeps the contract.
"""

from __future__ import annotations

from torch import Tensor, nn

from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.variants import for_core_ml


class Bounded(nn.Module):
    """A graph that takes its inputs by position, clamps them to the graph's limits, and returns a tuple.

    Args:
        graph: the graph; its module is copied, its tensors are shared.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.names, self.outputs = tuple(graph.inputs), graph.outputs
        self.limits = dict(graph.limits)
        self.inner = for_core_ml(graph.module)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Map the graph's inputs, in its order, to its outputs, in its order."""
        given = {name: self._clamped(name, x) for name, x in zip(self.names, inputs, strict=True)}
        made = self.inner(**given)
        return tuple(made[name] for name in self.outputs)

    def _clamped(self, name: str, x: Tensor) -> Tensor:
        if name not in self.limits:
            return x
        low, high = self.limits[name]
        return x.clamp(low, high)
