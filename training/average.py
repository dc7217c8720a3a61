"""A moving average of the weights, which is steadier than the last step: it is what ships."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The moving average of a module's trained parameters.

    Args:
        module: whose parameters are averaged.
        decay: of the average at its longest; it begins short, so that the first weights are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float = 0.998) -> None:
        self._live = [p for p in module.parameters() if p.requires_grad]
        self._kept = [p.detach().clone() for p in self._live]
        self._decay, self._steps = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights of this step."""
        self._steps += 1
        decay = min(self._decay, self._steps / (self._steps + 9))
        torch._foreach_lerp_(self._kept, [p.detach() for p in self._live], 1 - decay)

    def restart(self) -> None:
        """Start again from the present weights."""
        self._kept, self._steps = [p.detach().clone() for p in self._live], 0

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the module within a context."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for live, kept in zip(self._live, self._kept, strict=True):
            held = live.detach().clone()
            live.copy_(kept)
            kept.copy_(held)

    def state_dict(self) -> dict[str, list[Tensor] | int]:
        """Return the state that a resumed run needs."""
        return {"kept": self._kept, "steps": self._steps}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor] | int]) -> None:
        """Load what `state_dict` returned."""
        kept, steps = state["kept"], state["steps"]
        assert isinstance(kept, list)
        assert isinstance(steps, int)
        self._steps = steps
        for own, value in zip(self._kept, kept, strict=True):
            own.copy_(value)
