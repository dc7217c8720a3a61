"""Trying an engine in a child process before this process uses it, so that a crash costs the child alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cgsam_edge._schema import decode
from cgsam_edge.bundle import Bundle
from cgsam_edge.runtimes import children, compiled
from cgsam_edge.runtimes.compiled import Use
from cgsam_edge.runtimes.devices import AUTO
from cgsam_edge.runtimes.placement import Attempt, Candidate
from cgsam_edge.runtimes.probe import TrialRequest, scratch_of
from cgsam_edge.runtimes.protocol import Device, SessionOptions

if TYPE_CHECKING:
    from cgsam_edge.runtimes.protocol import Backend

_CRASHES = 8
"""Number of children that one engine may crash before it is given up."""


@dataclass
class Findings:
    """The findings of children about one engine.

    Attributes:
        devices: devices that the engine lists.
        attempts: attempts in the order in which they were made.
        problem: why the engine could not be tried; empty if it could.
    """

    devices: tuple[Device, ...] = ()
    attempts: list[Attempt] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class Trial:
    """What to try.

    Attributes:
        bundle: the bundle.
        target: which of its folders of graphs.
        device: name or kind; "auto" means all that auto considers.
        options: how to open the graphs; device and cache are filled in.
        repeats: number of timed runs of each graph after the first.
        text: whether to try the text graphs too, if the bundle has them.
    """

    bundle: Bundle
    target: str
    device: str = AUTO
    options: SessionOptions = field(default_factory=SessionOptions)
    repeats: int = 0
    text: bool = False


def forbidden() -> bool:
    """Whether the user, or the parent of this process, has disabled trials."""
    return os.environ.get(children.NO_TRIAL, "").strip().lower() == "never"


def devices(backend: Backend) -> Findings:
    """List an engine's devices in a child.

    Raises:
        NoChildError: no child can be started.
    """
    return _ask(backend, TrialRequest(path_of(backend)))


def attempts(backend: Backend, trial: Trial) -> Findings:
    """Try an engine's devices in children, and record which are usable.

    Raises:
        NoChildError: no child can be started.
    """
    asked = request(backend, trial)
    with _scratch(trial.bundle.digest) as scratch:
        found = _ask(backend, replace(asked, scratch=scratch))
        found.attempts = [_settled(backend, trial, asked, one, scratch) for one in found.attempts]
    return found


def _settled(backend: Backend, trial: Trial, asked: TrialRequest, one: Attempt, scratch: str) -> Attempt:
    """Record a usable attempt; try a failed one again without its compiled graphs."""
    use = use_of(trial.bundle, backend, one.candidate, trial.options)
    made = scratch_of(scratch, one.candidate.device)
    if one.usable:
        use.prove(made)
        return one
    if made is None or not any(path.is_file() for path in made.rglob("*")):
        return one
    again = _ask(backend, replace(asked, device=one.candidate.device)).attempts
    better = next((other for other in again if other.usable and other.candidate == one.candidate), None)
    if better is None:
        return one
    use.prove(loads=False)
    return better


def request(backend: Backend, trial: Trial) -> TrialRequest:
    """Return the request for a child, without a folder for compiled graphs."""
    options = {key: value for key, value in asdict(trial.options).items() if key not in ("device", "cache")}
    return TrialRequest(
        path_of(backend),
        str(trial.bundle.path),
        trial.target,
        trial.device,
        options=options,
        repeats=trial.repeats,
        text=trial.text,
    )


def use_of(bundle: Bundle, backend: Backend, candidate: Candidate, options: SessionOptions) -> Use:
    """Return the use of a bundle that the proof is recorded for."""
    return Use(bundle.digest, candidate, backend.version() or "", options)


def path_of(backend: Backend) -> str:
    """Return the path with which a child finds a backend's class."""
    kind = type(backend)
    return f"{kind.__module__}:{kind.__qualname__}"


@contextmanager
def _scratch(digest: str) -> Iterator[str]:
    path = compiled.scratch(digest)
    try:
        yield "" if path is None else str(path)
    finally:
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)


def _ask(backend: Backend, asked: TrialRequest) -> Findings:
    """Run the trial in children, starting a new one after each crash."""
    found = Findings()
    for _ in range(_CRASHES):
        if not _crashes(backend, asked, found):
            break
        asked = replace(asked, skip=tuple(one.candidate.device for one in found.attempts))
    return found


def _crashes(backend: Backend, asked: TrialRequest, found: Findings) -> bool:
    """Run the trial in one child; return whether a device crashed it, so that others remain to be tried."""
    trying = ""
    with children.Child("cgsam_edge.runtimes.probe") as child:
        child.send(asdict(asked))
        try:
            for message in child.messages("listing devices"):
                trying = message.get("trying", trying)
                if "attempt" in message:
                    trying = ""
                _take(message, found)
        except children.ChildError as error:
            if trying and error.step:
                candidate = Candidate(backend.name, asked.target, trying)
                found.attempts.append(Attempt(candidate, f"crashed: {str(error).removesuffix('.')}"))
                return True
            found.problem = f"the engine's process {error.end} while {error.step}" if error.step else error.end
    return False


def _take(message: dict[str, Any], found: Findings) -> None:
    if "devices" in message:
        found.devices = tuple(decode(Device, one, "child") for one in message["devices"])
    if "attempt" in message:
        found.attempts.append(decode(Attempt, message["attempt"], "child"))
