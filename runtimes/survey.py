"""The engines and devices of this machine, and their results on a bundle's examples, from child processes."""

from __future__ import annotations

from dataclasses import dataclass

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError, BundleError
from cgsam_edge.examples import EXAMPLES_FILE
from cgsam_edge.runtimes import children, registry, trial
from cgsam_edge.runtimes.devices import AUTO, allowed
from cgsam_edge.runtimes.judgement import REPEATS, load_examples
from cgsam_edge.runtimes.probe import attempt
from cgsam_edge.runtimes.protocol import Backend, Device, SessionOptions


@dataclass(frozen=True)
class Engine:
    """An engine on this machine.

    Attributes:
        name: the backend.
        version: installed version, or None.
        problem: why it cannot be used; empty if it can.
        extras: extras of this package that install it.
        devices: its devices, available or not.
    """

    name: str
    version: str | None
    problem: str
    extras: tuple[str, ...]
    devices: tuple[Device, ...]


def engines() -> list[Engine]:
    """Return all engines, installed or not."""
    return [_engine(backend) for backend in registry.backends().values()]


def _engine(backend: Backend) -> Engine:
    problem = backend.problem()
    found = trial.Findings() if problem else _devices(backend)
    return Engine(backend.name, backend.version(), problem or found.problem, backend.extras, found.devices)


def _devices(backend: Backend) -> trial.Findings:
    """List an engine's devices in a child, or in this process if no child can be started."""
    try:
        return trial.devices(backend)
    except children.NoChildError:
        try:
            return trial.Findings(backend.devices())
        except BackendError as error:
            return trial.Findings(problem=str(error))


def replay(
    bundle: Bundle, backend: Backend, target: str, options: SessionOptions, device: str = AUTO
) -> trial.Findings:
    """Run the examples of a bundle on an engine's devices, with one of its targets.

    Each engine runs in a child process, or in this process if no child can be started.

    Raises:
        BundleError: the bundle holds no examples.
    """
    check_examples(bundle)
    asked = trial.Trial(bundle, target, device, options, REPEATS, text=True)
    try:
        return trial.attempts(backend, asked)
    except children.NoChildError:
        return _replay_here(backend, asked)


def _replay_here(backend: Backend, asked: trial.Trial) -> trial.Findings:
    devices = backend.devices()
    request = trial.request(backend, asked)
    examples = load_examples(asked.bundle)
    names = [device.name for device in allowed(devices, asked.device)]
    found = [attempt(backend, asked.bundle, examples, request, name, lambda _: None) for name in names]
    return trial.Findings(devices, found)


def check_examples(bundle: Bundle) -> None:
    """Raise `BundleError` if the bundle holds no examples."""
    if EXAMPLES_FILE not in bundle.manifest.files:
        raise BundleError(
            f"{bundle.path}: holds no {EXAMPLES_FILE}, so there is nothing to compare an engine with: an older "
            "cgsam-edge wrote it. Export it again."
        )
