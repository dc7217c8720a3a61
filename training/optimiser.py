"""The optimiser: Muon for the matrices of the transformers, AdamW for everything else.

Muon (Jordan et al. 2024) makes each update of a matrix orthogonal. Both are torch's own; here they only act as one.
"""

from typing import Any

import torch
from torch import nn

MATRICES = ("qkv", "proj", "lin1", "lin2", "fc", "mlp", "attn", "_proj", "token_to_image", "image_to_token", "layers")
"""Parts of the names of linear layers whose weights are hidden matrices; heads and embeddings are not among them."""


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and name.endswith("weight") and any(part in name for part in MATRICES)


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
        self.muon = torch.optim.Muon(matrices, lr=1e-3, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(
            [
                {"params": [p for p in others if p.ndim > 1], "weight_decay": weight_decay},
                {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=1e-3,
            betas=(0.9, 0.98),
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
        """Return what a resumed run needs."""
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
