"""Opening all graphs of a bundle on what was selected, and telling where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.runtimes.devices import allowed, refusal
from cgsam_edge.runtimes.placement import Attempt, Candidate, GraphPlacement, Placement, Tried
from cgsam_edge.runtimes.protocol import Backend, Session, SessionOptions
from cgsam_edge.runtimes.registry import BACKENDS, target
from cgsam_edge.runtimes.selection import Selection, Selector, Wish, with_device


@dataclass(frozen=True)
class Opened:
    """The opened graphs of a bundle.

    Attributes:
        sessions: by graph.
        backend: the engine.
        candidate: where they were opened.
        selection: why there.
        options: how.
    """

    sessions: dict[str, Session]
    backend: Backend
    candidate: Candidate
    selection: Selection
    options: SessionOptions

    def placement(self, bundle: Bundle) -> Placement:
        """Ask the engine where everything runs."""
        specs = bundle.graphs(self.candidate.target)
        facts = {graph: session.facts() for graph, session in self.sessions.items()}
        return Placement(
            backend=self.candidate.backend,
            version=self.backend.version() or "",
            target=self.candidate.target,
            device=self.candidate.device,
            precision=facts["image"].precision,
            threads=facts["image"].threads,
            performance=self.options.performance,
            reason=self.selection.reason,
            graphs=tuple(
                GraphPlacement(graph, specs[graph].precision, one.precision, one.nodes, one.cached)
                for graph, one in facts.items()
            ),
            tried=self.selection.tried,
        )


def open_bundle(bundle: Bundle, wish: Wish) -> Opened:
    """Select a candidate and open all graphs on it.

    A candidate that was the best and does not open any more makes room for the next, and a remembered choice of which
    nothing opens is measured anew; `Placement` says so. What was forced is opened or refused.

    Raises:
        BackendError: nothing opens.
        BundleError: a file is missing or altered.
    """
    selector = Selector(bundle, wish)
    selection = selector.select()
    failed: list[Tried] = []
    problem: BackendError | None = None
    for candidate in selection.candidates:
        backend = BACKENDS[candidate.backend]
        options = with_device(wish.options, candidate, backend.version() or "", bundle.digest)
        try:
            sessions = _open(bundle, backend, candidate, options)
        except BackendError as error:
            problem = problem or error
            failed.append(Tried(Attempt(candidate, str(error)), f"does not open: {error}"))
            continue
        return Opened(sessions, backend, candidate, _without(selection, failed), options)
    if selection.remembered:
        return open_bundle(bundle, Wish(wish.backend, wish.device, wish.options, refresh=True))
    assert problem is not None
    raise problem


def open_on(bundle: Bundle, backend: Backend, device: str, options: SessionOptions) -> Opened:
    """Open all graphs on a backend that need not be registered, without measuring.

    Raises:
        BackendError: it cannot be used here, opens no target of the bundle, or lacks the device.
        BundleError: a file is missing or altered.
    """
    held = target(backend, bundle.manifest.targets)
    if backend.problem() or held is None:
        opens = " or ".join(map(repr, backend.targets))
        raise BackendError(backend.problem() or f"the bundle holds no graphs for {opens}.")
    devices = backend.devices()
    found = allowed(devices, device)
    if not found:
        raise BackendError(f"{refusal(backend.name, devices, device)}.")
    candidate = Candidate(backend.name, held, found[0].name)
    options = replace(options, device=candidate.device)
    selection = Selection((candidate,), "the caller's own backend")
    return Opened(_open(bundle, backend, candidate, options), backend, candidate, selection, options)


def _open(bundle: Bundle, backend: Backend, candidate: Candidate, options: SessionOptions) -> dict[str, Session]:
    sessions: dict[str, Session] = {}
    try:
        for graph in GRAPH_NAMES:
            sessions[graph] = backend.open(bundle.verified_graph(candidate.target, graph), options)
    except BaseException:
        for session in sessions.values():
            session.close()
        raise
    return sessions


def _without(selection: Selection, failed: list[Tried]) -> Selection:
    """Return the selection with candidates marked that did not open after all."""
    if not failed:
        return selection
    gone = {one.attempt.candidate for one in failed}
    rest = [one for one in selection.tried if one.attempt.candidate not in gone]
    reason = f"{selection.reason}; the first choice did not open"
    return Selection(selection.candidates, reason, (*rest, *failed), selection.remembered)
