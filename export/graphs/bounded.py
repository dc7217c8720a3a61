"""A graph in a form that is safe in half precision: inputs clamped to their possible range, norms as one operator.

The largest number in half precision is 65504. An input outside the contract would become infinite, and one infinite
score makes a whole softmax NaN; and SAM's LayerNorm2d, written out, squares values that may exceed 256. Neither change
affects the results for inputs within the contract.
"""

from __future__ import annotations

from torch import Tensor, nn

from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.variants import for_core_ml


class Bounded(nn.Module):
    """A graph that takes positional inputs, clamps them to the graph's limits, and returns a tuple.

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
