"""Which engine and device run a bundle: forced, the only one, remembered, or the fastest of those that agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from cgsam_edge._schema import decode
from cgsam_edge._version import __version__
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError, BundleError, InputError
from cgsam_edge.examples import EXAMPLES_FILE
from cgsam_edge.runtimes import cache, children, registry, trial
from cgsam_edge.runtimes.devices import AUTO, allowed, refusal
from cgsam_edge.runtimes.judgement import REPEATS
from cgsam_edge.runtimes.placement import ANY_DEVICE, Attempt, Candidate, Tried, judge
from cgsam_edge.runtimes.protocol import Backend, Device, SessionOptions, check_device, check_flag

_OF_CHIPS = ("qnn", "npu")
"""Devices that may be a chip of Qualcomm."""


@dataclass(frozen=True)
class Wish:
    """A caller's request.

    Attributes:
        backend: a name, or "auto".
        device: a name or kind, see `Device.answers_to`, or "auto".
        options: how to open the graphs; their device and cache are filled in.
        refresh: measure again, even if a choice is remembered.

    Raises:
        InputError: a value has the wrong type.
    """

    backend: str = AUTO
    device: str = AUTO
    options: SessionOptions = field(default_factory=SessionOptions)
    refresh: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.backend, str):
            raise InputError(f"backend must be 'auto', a backend's name or a Backend, got {self.backend!r:.60}.")
        check_device(self.device)
        check_flag("refresh", self.refresh)
        if self.options.soc is not None and self.device.lower() not in _OF_CHIPS:
            raise InputError(
                f"soc={self.options.soc} names a chip of Qualcomm, and the device is {self.device!r}: say device='qnn' "
                "too."
            )


@dataclass(frozen=True)
class Selection:
    """Candidates to open, the best first, and the reason for their order.

    Attributes:
        candidates: one or more.
        reason: why the first one is the best.
        tried: the measurements, made now or when the choice was remembered.
        remembered: whether the choice comes from an earlier process.
    """

    candidates: tuple[Candidate, ...]
    reason: str
    tried: tuple[Tried, ...] = ()
    remembered: bool = False


class Selector:
    """Selects candidates for one bundle and one request.

    Args:
        bundle: the bundle.
        wish: the caller's request.

    Raises:
        BackendError: the backend is unknown, not installed or too old, or the bundle holds no graphs for it.
        BundleError: no target of the bundle is intact.
    """

    def __init__(self, bundle: Bundle, wish: Wish) -> None:
        self._bundle, self._wish = bundle, wish
        held = bundle.manifest.targets
        fitting = registry.fitting(wish.backend, held)
        self._backends = [(backend, name) for backend in fitting if (name := registry.target(backend, held))]
        self._engines = {backend.name: backend.version() for backend in fitting}
        self._absent = _absent(held) if wish.backend == AUTO else []

    def select(self) -> Selection:
        """Return the candidates to open.

        Raises:
            BackendError: no candidate opens and agrees; or the requested one does not exist here.
        """
        if len(self._backends) == 1:
            devices = self._here(self._backends[0], self._backends[0][0].devices())
            if len(devices) == 1:
                return self._only(devices[0])
        recalled = None if self._wish.refresh else self._recall()
        if recalled is not None:
            return recalled
        why = self._cannot_measure()
        if not why:
            try:
                return self._measured()
            except children.NoChildError as error:
                why = f"not measured: {error}"
        return self._first(why)

    @cached_property
    def _key(self) -> dict[str, Any]:
        """Everything that a remembered choice depends on, known without importing an engine."""
        options = {k: v for k, v in asdict(self._wish.options).items() if k not in ("device", "cache")}
        return {
            "bundle": self._bundle.digest,
            "machine": cache.host().key(),
            "cgsam-edge": __version__,
            "engines": self._engines,
            "wish": {"backend": self._wish.backend, "device": self._wish.device, **options},
        }

    def _whole(self) -> list[Tried]:
        """Remove backends whose target is damaged, and return them.

        Raises:
            BundleError: no target is intact.
        """
        problems = {name: damage(self._bundle, name) for name in dict.fromkeys(name for _, name in self._backends)}
        found = [error for error in problems.values() if error is not None]
        if len(found) == len(problems):
            raise found[0]
        broken = [
            Attempt(Candidate(backend.name, name, ANY_DEVICE), f"damaged: {problems[name]}")
            for backend, name in self._backends
            if problems[name] is not None
        ]
        self._backends = [pair for pair in self._backends if problems[pair[1]] is None]
        return judge(broken)

    def _here(self, pair: tuple[Backend, str], devices: tuple[Device, ...]) -> list[Candidate]:
        """Return the candidates of one backend that the request allows.

        Raises:
            BackendError: there is none; the message says why.
        """
        backend, target = pair
        found = allowed(devices, self._wish.device)
        if not found:
            raise BackendError(f"{refusal(backend.name, devices, self._wish.device)}.")
        return [Candidate(backend.name, target, device.name) for device in found]

    def _only(self, candidate: Candidate) -> Selection:
        forced = AUTO not in (self._wish.backend, self._wish.device)
        reason = "forced" if forced else "the only candidate here"
        return Selection((candidate,), reason, tuple(self._absent))

    def _cannot_measure(self) -> str:
        if EXAMPLES_FILE not in self._bundle.manifest.files:
            return f"not measured: the bundle holds no {EXAMPLES_FILE} (export it again)"
        why = children.unavailable()
        return f"not measured: {why}" if why else ""

    def _first(self, why: str) -> Selection:
        """Return the first backend with the requested device, and prefer a CPU, which needs no proof."""
        reasons = []
        for backend, target in self._backends:
            devices = backend.devices()
            found = allowed(devices, self._wish.device)
            if found:
                device = next((d for d in found if d.kind == "cpu"), found[0])
                return Selection((Candidate(backend.name, target, device.name),), why, tuple(self._absent))
            reasons.append(refusal(backend.name, devices, self._wish.device))
        raise BackendError(f"{'; '.join(reasons)}.")

    def _measured(self) -> Selection:
        damaged = self._whole()
        attempts = [attempt for backend, target in self._backends for attempt in self._tried(backend, target)]
        tried = (*judge(attempts), *damaged, *self._absent)
        usable = tuple(one.attempt.candidate for one in tried if one.attempt.usable)
        if not usable:
            reasons = "".join(f"\n  {one.attempt.candidate}: {one.verdict}" for one in tried)
            raise BackendError(f"no engine can run this bundle here:{reasons}")
        if not damaged:  # a damaged target may be intact at the next opening
            cache.remember(self._key, [asdict(one) for one in tried])
        return Selection(usable, "measured", tried)

    def _tried(self, backend: Backend, target: str) -> list[Attempt]:
        """Try an engine in child processes; an engine without anything to try gets one failed attempt."""
        asked = trial.Trial(self._bundle, target, self._wish.device, self._wish.options, REPEATS)
        found = trial.attempts(backend, asked)
        problem = found.problem
        if not found.attempts and not problem:
            problem = refusal(backend.name, found.devices, self._wish.device)
        return [*found.attempts, *([Attempt(Candidate(backend.name, target, ANY_DEVICE), problem)] if problem else [])]

    def _recall(self) -> Selection | None:
        kept = cache.recall(self._key)
        try:
            tried = decode(tuple[Tried, ...], kept, "cache")
        except BundleError:
            return None
        usable = tuple(one.attempt.candidate for one in tried if one.attempt.usable)
        return Selection(usable, "remembered from an earlier measurement", tried, remembered=True) if usable else None


def _absent(held: Iterable[str]) -> list[Tried]:
    """Return the engines that could open the bundle and are not installed, or too old."""
    found = [(b, name) for b in registry.backends().values() if (name := registry.target(b, held)) and b.problem()]
    return judge([Attempt(Candidate(backend.name, name, ANY_DEVICE), backend.problem()) for backend, name in found])


def damage(bundle: Bundle, target: str) -> BundleError | None:
    """Return the error in a target's files, or None."""
    try:
        for graph in bundle.manifest.graph_names:
            bundle.verified_graph(target, graph)
    except BundleError as error:
        return error
    return None
