"""Which engines exist, and choosing one for a bundle. Choosing imports no engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes.coreml import CoreMLBackend
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend

if TYPE_CHECKING:
    from cgsam_edge.runtimes.protocol import Backend

AUTO = "auto"

_ALL: tuple[Backend, ...] = (OnnxRuntimeBackend(), CoreMLBackend())

BACKENDS: dict[str, Backend] = {backend.name: backend for backend in _ALL}
"""All backends by name, the most promising first."""


def choose(name: str | Backend, targets: Iterable[str]) -> Backend:
    """Return the backend to use.

    Args:
        name: a backend's name, which is honoured or refused, or "auto"; or a backend, which need not be listed here.
        targets: what the bundle holds.

    Raises:
        BackendError: the name is unknown, the bundle holds no graphs for it, or it is not installed.
    """
    held = tuple(targets)
    if not isinstance(name, str):
        return _able(name, held)
    if name != AUTO:
        return _forced(name, held)
    fitting = [backend for backend in BACKENDS.values() if backend.target in held]
    if not fitting:
        raise BackendError(
            f"the bundle holds graphs for {', '.join(held) or 'no engine'}; this version runs {', '.join(BACKENDS)}."
        )
    ready = next((backend for backend in fitting if not backend.problem()), None)
    if ready is None:
        raise BackendError(" ".join(backend.problem() for backend in fitting))
    return ready


def _forced(name: str, held: tuple[str, ...]) -> Backend:
    if name not in BACKENDS:
        raise BackendError(f"no backend {name!r}; expected {AUTO!r} or one of {', '.join(map(repr, BACKENDS))}.")
    return _able(BACKENDS[name], held)


def _able(backend: Backend, held: tuple[str, ...]) -> Backend:
    if backend.target not in held:
        raise BackendError(f"the bundle holds no graphs for {backend.target!r}, only for {', '.join(held) or 'none'}.")
    if backend.problem():
        raise BackendError(f"{backend.problem()} {_instead(backend, held)}")
    return backend


def _instead(refused: Backend, held: tuple[str, ...]) -> str:
    """Say which other targets of a bundle can be used here."""
    able = [b.name for b in BACKENDS.values() if b is not refused and b.target in held and not b.problem()]
    if able:
        return f"Of this bundle's targets, {', '.join(able)} can be used here: backend={able[0]!r}."
    return "The bundle holds no other target that can be used here."
