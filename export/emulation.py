"""Graphs in PyTorch as an engine with narrower arithmetic computes them: bfloat16 or float16, summed in float32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from cgsam_edge.arithmetic import FLOAT32
from cgsam_edge.errors import BackendError
from cgsam_edge.export.torch_backend import TorchBackend, TorchSession
from cgsam_edge.runtimes.protocol import SessionFacts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cgsam_edge.export.graphs.build import Graphs
    from cgsam_edge.runtimes.protocol import Arrays, SessionOptions

KINDS = {"bfloat16": torch.bfloat16, "float16": torch.float16}

_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "conv", "scaled_dot_product", "einsum")
"""Beginnings of the names of operations whose inputs, weights among them, are rounded before."""


_WIDE = ("pow", "mean", "sum", "var", "exp", "sqrt", "rsqrt")
"""Operations whose results stay in float32, as engines keep norms: squares leave the range of float16 first."""


class Rounding(TorchDispatchMode):
    """While it is entered, every operation gives results that the narrower kind of numbers can hold.

    Products take their inputs and weights rounded as well, and each operation computes in float32 inside. Within norms
    results stay wide; elsewhere engines keep more of them wide than this does, where they join operations.

    Args:
        kind: "bfloat16" or "float16".
    """

    def __init__(self, kind: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._dtype = KINDS[kind]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Round what a product takes and what an operation makes; views and copies into place stay as they are."""
        del types
        name = func.overloadpacket.__name__.lstrip("_")
        if name.startswith(_PRODUCTS):
            args = tree_map(self._round, args)
        made = func(*args, **(kwargs or {}))
        aliases = any(one.alias_info is not None for one in func._schema.returns)  # noqa: SLF001 — as PyTorch's guide
        return made if aliases or name in _WIDE else tree_map(self._round, made)

    def _round(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.dtype == torch.float32:
            return value.to(self._dtype).to(torch.float32)
        return value


class EmulatedSession(TorchSession):
    """One fused graph with rounded arithmetic; see `TorchSession`."""

    def __init__(self, graph: Any, kind: str) -> None:
        super().__init__(graph)
        self._kind = kind

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute all outputs; see `Session.run`."""
        try:
            with Rounding(self._kind):
                return super().run(inputs)
        except BackendError:
            raise
        except RuntimeError as error:  # also where memory is short
            what = f"the graph {self._graph.name!r} in {self._kind}"
            raise BackendError(f"PyTorch cannot compute {what}: {error}") from error

    def facts(self) -> SessionFacts:
        """Return what is emulated; see `Session.facts`."""
        return SessionFacts({"torch": 1}, self._kind, torch.get_num_threads())


class EmulatedBackend(TorchBackend):
    """PyTorch as a backend, with some graphs in narrower arithmetic; see `TorchBackend`.

    Args:
        graphs: of the model that is exported.
        kinds: the arithmetic of each graph.
    """

    def __init__(self, graphs: Graphs, kinds: Mapping[str, str]) -> None:
        super().__init__(graphs)
        self._kinds = kinds

    def open(self, path: Path, options: SessionOptions) -> TorchSession:
        """Open the graph that the file is named after."""
        kind = self._kinds.get(path.name, FLOAT32)
        return super().open(path, options) if kind == FLOAT32 else EmulatedSession(self._graphs[path.name], kind)
