"""Engines from other packages, as entry points of the group `cgsam_edge.backends`.

The entry point has the backend's name and refers to a class that implements `protocol.Backend` and is created without
arguments, also in child processes::

    [project.entry-points."cgsam_edge.backends"]
    myengine = "my_package.backend:MyBackend"
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes.protocol import Device, SessionOptions

if TYPE_CHECKING:
    from cgsam_edge.runtimes.protocol import Backend, Session

GROUP = "cgsam_edge.backends"

_MEMBERS = ("name", "targets", "extras", "version", "problem", "devices", "open")


class BrokenBackend:
    """Stands for a backend that could not be loaded; see `Backend`.

    Args:
        name: name of the entry point.
        reason: why, and what to do.
    """

    targets: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    def __init__(self, name: str, reason: str) -> None:
        self.name, self._reason = name, reason

    def version(self) -> str | None:
        """Return None; see `Backend.version`."""
        return None

    def problem(self) -> str:
        """Return why it could not be loaded; see `Backend.problem`."""
        return self._reason

    def devices(self) -> tuple[Device, ...]:
        """Return an empty list; see `Backend.devices`."""
        return ()

    def open(self, path: Path, options: SessionOptions) -> Session:
        """Refuse; see `Backend.open`."""
        raise BackendError(f"{path}: cannot be opened on {options.device}: {self._reason}")


def names() -> tuple[str, ...]:
    """Return the names of all entry points without loading any."""
    return tuple(_found())


def load(name: str) -> Backend:
    """Return a backend, or a `BrokenBackend` with the reason if it cannot be loaded."""
    point = _found()[name]
    try:
        return _checked(name, point.load()())
    except Exception as error:  # errors of code outside this project
        reason = f"{type(error).__name__}: {error}"
        return BrokenBackend(name, f"the backend {name!r} of {_origin(point)} cannot be loaded ({reason}).")


def shadowing(taken: tuple[str, ...]) -> tuple[str, ...]:
    """Return a line for each entry point whose name a built-in backend or an earlier entry point has taken."""
    first = _found()
    lines = []
    for point in _points():
        if point.name in taken:
            lines.append(
                f"the backend {point.name!r} of {_origin(point)} is ignored: a built-in backend has that name."
            )
        elif point.value != first[point.name].value:
            other = _origin(first[point.name])
            lines.append(
                f"the backend {point.name!r} of {_origin(point)} is ignored: {other} provides one with that name."
            )
    return tuple(lines)


def missing_members(made: object) -> list[str]:
    """Return the members that an object lacks to be a backend."""
    return [member for member in _MEMBERS if not hasattr(made, member)]


def _checked(name: str, made: Backend) -> Backend:
    missing = missing_members(made)
    if missing:
        raise TypeError(f"it has no {', '.join(missing)}; see cgsam_edge.runtimes.protocol.Backend")
    if made.name != name:
        raise ValueError(f"it calls itself {made.name!r}, its entry point {name!r}")
    made.version(), made.problem()  # neither may fail: they are used before the engine is imported
    return made


@lru_cache(maxsize=1)
def _points() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)))


def _found() -> dict[str, EntryPoint]:
    """Return the entry point for each name; of several, the first by value, independent of the order of folders."""
    first = {point.name: point for point in reversed(_points())}
    return dict(sorted(first.items()))


def _origin(point: EntryPoint) -> str:
    return f"the package {point.dist.name} {point.dist.version}" if point.dist else f"the entry point {point.value!r}"
