"""Whether PyTorch computes attention with its own kernel, or as converters are to write it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_USED: ContextVar[bool] = ContextVar("kernels_used", default=False)


@contextmanager
def using() -> Iterator[None]:
    """Let attention run in PyTorch's kernel meanwhile: the same values with fewer and larger operations.

    Converters need the other form, which is cut into what engines are fast with.
    """
    token = _USED.set(True)
    try:
        yield
    finally:
        _USED.reset(token)


def used() -> bool:
    """Return whether attention runs in PyTorch's kernel."""
    return _USED.get()
