"""What engines and devices this machine has, and how each does on a bundle's examples, asked in child processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BundleError
from cgsam_edge.examples import EXAMPLES_FILE
from cgsam_edge.runtimes import children
from cgsam_edge.runtimes.devices import AUTO
from cgsam_edge.runtimes.placement import Attempt
from cgsam_edge.runtimes.probe import Request
from cgsam_edge.runtimes.protocol import Backend, Device, SessionOptions
from cgsam_edge.runtimes.registry import BACKENDS


@dataclass(frozen=True)
class Engine:
    """An engine as it is on this machine.

    Attributes:
        name: the backend.
        version: as installed, or None.
        problem: why it cannot be used; empty where it can.
        extras: what to install it with.
        devices: that it knows, seen or not.
    """

    name: str
    version: str | None
    problem: str
    extras: tuple[str, ...]
    devices: tuple[Device, ...]


def engines() -> list[Engine]:
    """Return all engines, installed or not."""
    return [_engine(backend) for backend in BACKENDS.values()]


def _engine(backend: Backend) -> Engine:
    problem = backend.problem()
    told = children.Told() if problem else children.ask(backend, Request(children.path_of(backend)))
    return Engine(backend.name, backend.version(), problem or told.problem, backend.extras, told.devices)


def replay(
    bundle: Bundle, backend: Backend, target: str, options: SessionOptions, device: str = AUTO
) -> tuple[list[Attempt], str]:
    """Run the examples of a bundle on an engine's devices, with one of its targets.

    Returns:
        The attempts, and what kept the engine from making any.

    Raises:
        BundleError: the bundle holds no examples.
    """
    check_examples(bundle)
    given = {key: value for key, value in asdict(options).items() if key not in ("device", "cache")}
    request = Request(
        children.path_of(backend), str(bundle.path), target, device, options=given, digest=bundle.digest, text=True
    )
    told = children.ask(backend, request)
    return told.attempts, told.problem


def check_examples(bundle: Bundle) -> None:
    """Raise `BundleError` if the bundle holds no examples."""
    if EXAMPLES_FILE not in bundle.manifest.files:
        raise BundleError(
            f"{bundle.path}: holds no {EXAMPLES_FILE}, so there is nothing to hold an engine to: an older cgsam-edge "
            "wrote it. Export it again."
        )
