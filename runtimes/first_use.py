"""Before a bundle is opened in this process: whether it was tried on this machine, and the trial if not."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import children, trial
from cgsam_edge.runtimes.compiled import Use
from cgsam_edge.runtimes.judgement import load_examples, replay_on
from cgsam_edge.runtimes.placement import Candidate
from cgsam_edge.runtimes.protocol import SessionOptions

if TYPE_CHECKING:
    from cgsam_edge.runtimes.protocol import Backend, Session


@dataclass(frozen=True)
class Permission:
    """Permission to open a bundle in this process.

    Attributes:
        cache: the folder of compiled graphs to open it with, or None.
        note: why it was not tried in a child; empty if it was, or need not be.
        unproven: the use, if graphs loaded from the cache must be checked in this process; otherwise None.
    """

    cache: Path | None = None
    note: str = ""
    unproven: Use | None = None


def permit(bundle: Bundle, backend: Backend, candidate: Candidate, options: SessionOptions) -> Permission:
    """Try a candidate in a child, unless that has been done on this machine.

    Raises:
        BackendError: it crashed the child, does not open, or disagrees with PyTorch.
        BundleError: a file of the bundle is missing or altered.
    """
    use = trial.use_of(bundle, backend, candidate, options)
    proof = use.proof()
    if trial.forbidden():
        return Permission(use.folder() if proof is None or proof.loads else None)
    if proof is None:
        why = _try(bundle, backend, use)
        if why:
            return _untried(bundle, use, why)
    proof = use.proof()
    return Permission(use.folder() if proof is not None and proof.loads else None)  # no folder: no proof can be kept


def try_text(bundle: Bundle, backend: Backend, target: str, options: SessionOptions) -> None:
    """Try all graphs in a child, including the text graphs; nothing is tried if no child can be started.

    Args:
        bundle: a bundle with text graphs.
        backend: the engine.
        target: which of the bundle's folders.
        options: of the sessions, the device among them.

    Raises:
        BackendError: the engine crashed the child, does not open a graph, or disagrees with PyTorch.
    """
    if trial.forbidden():
        return
    with suppress(children.NoChildError):
        found = trial.attempts(backend, trial.Trial(bundle, target, options.device, options, text=True))
        problem = found.problem if not found.attempts else found.attempts[0].problem
        if problem or not found.attempts:
            where = Candidate(backend.name, target, options.device)
            raise BackendError(f"{where}: {problem or 'it is not listed any more'}")


def _try(bundle: Bundle, backend: Backend, use: Use) -> str:
    """Try a use in a child; return why that was not possible, or an empty text.

    Raises:
        BackendError: it crashed the child, does not open, or disagrees with PyTorch.
    """
    candidate = use.candidate
    try:
        found = trial.attempts(backend, trial.Trial(bundle, candidate.target, candidate.device, use.options))
    except children.NoChildError as error:
        return str(error).removesuffix(".")
    one = next((one for one in found.attempts if one.candidate == candidate), None)
    if one is None or not one.usable:
        problem = found.problem if one is None else one.problem
        raise BackendError(f"{candidate}: {problem or 'it is not listed any more'}")
    return ""


def check_loaded(bundle: Bundle, use: Use, sessions: Mapping[str, Session]) -> bool:
    """Run the examples on graphs that were loaded from the cache without a trial in a child.

    Returns:
        Whether they may be used: they agree with PyTorch, or this process compiled them.
    """
    if not any(session.facts().cached for session in sessions.values()):
        return True
    try:
        usable = replay_on(use.candidate, bundle, load_examples(bundle), sessions).usable
    except BackendError:
        return False
    if usable:
        use.prove()
    return usable


def _untried(bundle: Bundle, use: Use, why: str) -> Permission:
    if load_examples(bundle) is None:  # nothing could show whether the loaded graphs are right
        return Permission(note=f"not tried: {why}")
    return Permission(use.folder(), f"not tried: {why}", use)
