"""The optimiser: Muon for the matrices of the transformers, AdamW for everything else."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

MATRICES = ("qkv", "proj", "lin1", "lin2", "fc", "mlp", "attn", "_proj", "token_to_image", "image_to_token", "layers")
"""Parts of the names of linear layers whose weights are hidden matrices; heads and embeddings are not among them."""

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz iteration, of Jordan et al. 2024."""


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and name.endswith("weight") and any(part in name for part in MATRICES)


def orthogonalise(stack: Tensor, steps: int = 5, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the matrices (n, a, b), a <= b, with their singular values brought to about 1 (0.7 to 1.2).

    ``dtype`` is that of the iteration; bfloat16 does as well, where the processor has instructions for it.
    """
    a, b, c = _QUINTIC
    x: Tensor = (stack / stack.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)).to(dtype)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.to(stack.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose update of a matrix is made orthogonal (Jordan et al. 2024), all matrices of a shape at once.

    torch.optim.Muon always iterates in bfloat16, which takes ten seconds a step on a processor that has no such
    instructions; here ``dtype`` decides.

    Args:
        matrices: parameters of two axes.
        weight_decay: decoupled, as AdamW's.
        momentum: Nesterov's.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": 1e-3, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = torch.float32

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002 — of torch
        """Update all matrices, many in one call: each call costs time on a GPU."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            grads = [p.grad for p in parameters]
            memories = [self._memory(parameter) for parameter in parameters]
            torch._foreach_lerp_(memories, grads, 1 - group["momentum"])
            updates = torch._foreach_lerp(grads, memories, group["momentum"])
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            for alike in _by_shape(parameters, updates).values():
                self._move(alike, group["lr"])

    def _memory(self, parameter: Tensor) -> Tensor:
        """Return the momentum of a matrix, which begins with zero."""
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        memory: Tensor = state["momentum_buffer"]
        return memory

    def _move(self, alike: Sequence[tuple[Tensor, Tensor]], rate: float) -> None:
        """Move matrices of one shape, or its transpose, by their orthogonal updates."""
        stack = torch.stack([update if _is_wide(update) else update.mT for _, update in alike])
        found = orthogonalise(stack, dtype=self.dtype).unbind()
        moves = [o if _is_wide(update) else o.mT for o, (_, update) in zip(found, alike, strict=True)]
        # updates get the RMS that AdamW's have
        torch._foreach_sub_([p for p, _ in alike], moves, alpha=rate * 0.2 * stack.shape[-1] ** 0.5)


def _is_wide(matrix: Tensor) -> bool:
    return matrix.shape[0] <= matrix.shape[1]


def _by_shape(
    parameters: Sequence[Tensor], updates: Sequence[Tensor]
) -> Mapping[tuple[int, ...], list[tuple[Tensor, Tensor]]]:
    """Group parameters and their updates by shape; a shape and its transpose are one."""
    groups: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for parameter, update in zip(parameters, updates, strict=True):
        groups[tuple(sorted(parameter.shape))].append((parameter, update))
    return groups


class Optimiser:
    """Muon and AdamW over one module, with one learning rate (updates are scaled to the same RMS).

    Args:
        module: what to train; parameters that need no gradient are left out.
        weight_decay: of everything with more than one axis.
    """

    def __init__(self, module: nn.Module, weight_decay: float = 0.03) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        matrices = [p for name, p in named if _is_matrix(name, p)]
        others = [p for name, p in named if not _is_matrix(name, p)]
        self.muon = Muon(matrices, weight_decay)
        self.adam = torch.optim.AdamW(
            [
                {"params": [p for p in others if p.ndim > 1], "weight_decay": weight_decay},
                {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=1e-3,
            betas=(0.9, 0.98),
            fused=all(p.is_cuda for p in others),
        )
        self.rate = 1e-3

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of both."""
        self.rate = rate
        for group in (*self.muon.param_groups, *self.adam.param_groups):
            group["lr"] = rate

    def zero_grad(self) -> None:
        """Drop all gradients."""
        self.muon.zero_grad(set_to_none=True)
        self.adam.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Update all parameters."""
        self.muon.step()
        self.adam.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what ``state_dict`` returned."""
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
