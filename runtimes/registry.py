"""Which engines exist: the built-in ones, and those of other packages. Listing them imports no engine."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import plugins
from cgsam_edge.runtimes.coreml import CoreMLBackend
from cgsam_edge.runtimes.devices import AUTO
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend
from cgsam_edge.runtimes.openvino import OpenVinoBackend

if TYPE_CHECKING:
    from cgsam_edge.runtimes.protocol import Backend

_ALL: tuple[Backend, ...] = (OnnxRuntimeBackend(), OpenVinoBackend(), CoreMLBackend())

BACKENDS: dict[str, Backend] = {backend.name: backend for backend in _ALL}
"""The built-in backends by name, the most promising first."""


def backends() -> dict[str, Backend]:
    """Return all backends by name, the built-in ones first; loads those of other packages.

    One that cannot be loaded is included; its ``problem`` says so, and it opens nothing.
    """
    return {**BACKENDS, **{name: _plugin(name) for name in plugins.names() if name not in BACKENDS}}


def names() -> tuple[str, ...]:
    """Return the names of all backends, without loading those of other packages."""
    return tuple(dict.fromkeys((*BACKENDS, *plugins.names())))


def find(name: str) -> Backend:
    """Return a backend by name.

    Raises:
        BackendError: there is no such backend.
    """
    if name in BACKENDS:
        return BACKENDS[name]
    if name not in plugins.names():
        raise BackendError(f"no backend {name!r}; expected {AUTO!r} or one of {', '.join(map(repr, names()))}.")
    return _plugin(name)


def ignored() -> tuple[str, ...]:
    """Return why backends of packages are ignored: a built-in one, or one of another package, has their name."""
    return plugins.shadowing(tuple(BACKENDS))


def fitting(name: str, targets: Iterable[str]) -> list[Backend]:
    """Return the backends that could open a bundle here.

    Args:
        name: a backend's name, which is used or refused, or "auto".
        targets: targets of the bundle.

    Raises:
        BackendError: the name is unknown, the bundle holds no graphs for it, or it is not installed or too old.
    """
    held = tuple(targets)
    if name != AUTO:
        return [_forced(name, held)]
    able = [backend for backend in backends().values() if target(backend, held)]
    if not able:
        raise BackendError(
            f"the bundle holds graphs for {', '.join(held) or 'no engine'}; this version runs {', '.join(names())}."
        )
    ready = [backend for backend in able if not backend.problem()]
    if not ready:
        raise BackendError(" ".join(backend.problem() for backend in able))
    return ready


def target(backend: Backend, held: Iterable[str]) -> str | None:
    """Return the backend's preferred target among those of the bundle, or None."""
    known = set(held)
    return next((name for name in backend.targets if name in known), None)


@lru_cache
def _plugin(name: str) -> Backend:
    return plugins.load(name)


def _forced(name: str, held: tuple[str, ...]) -> Backend:
    backend = find(name)
    if not backend.targets:  # the backend could not be loaded
        raise BackendError(backend.problem())
    if target(backend, held) is None:
        opens = " or ".join(map(repr, backend.targets))
        raise BackendError(f"the bundle holds no graphs for {opens}, only for {', '.join(held) or 'none'}.")
    if backend.problem():
        raise BackendError(f"{backend.problem()} {_instead(backend, held)}")
    return backend


def _instead(refused: Backend, held: tuple[str, ...]) -> str:
    """Return which other backends can open the bundle here."""
    able = [b.name for b in backends().values() if b is not refused and target(b, held) and not b.problem()]
    if able:
        return f"This bundle also opens here with {' or '.join(f'backend={name!r}' for name in able)}."
    return "No other backend that opens this bundle can be used here."
