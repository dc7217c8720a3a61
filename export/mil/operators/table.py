"""The table of operators, filled by the other modules of this package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Compute = Callable[..., Any]
F = TypeVar("F", bound=Compute)


@dataclass(frozen=True)
class Operator:
    """One MIL operator.

    Attributes:
        compute: from inputs by name to a tensor, or a list of them for an operator of several outputs.
        moves: whether the values are those of an input, so that nothing needs rounding.
    """

    compute: Compute
    moves: bool = False


OPERATORS: dict[str, Operator] = {}
"""By MIL's name of the operator."""


def operator(*names: str, moves: bool = False) -> Callable[[F], F]:
    """Add a function to the table."""

    def enter(compute: F) -> F:
        for name in names:
            OPERATORS[name] = Operator(compute, moves)
        return compute

    return enter
