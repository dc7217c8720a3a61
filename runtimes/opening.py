"""Opening all graphs of a bundle on the selected engine, and reporting where they run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cgsam_edge.arithmetic import summary
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError, InputError
from cgsam_edge.runtimes import allocator, first_use, plugins, proven, registry
from cgsam_edge.runtimes.devices import allowed, refusal
from cgsam_edge.runtimes.placement import Attempt, Candidate, GraphPlacement, Placement, Tried
from cgsam_edge.runtimes.protocol import Backend, Session, SessionOptions
from cgsam_edge.runtimes.registry import target
from cgsam_edge.runtimes.selection import Selection, Selector, Wish


@dataclass(frozen=True)
class Opened:
    """The opened graphs of a bundle.

    Attributes:
        sessions: sessions by graph.
        backend: the engine.
        candidate: where they were opened.
        selection: why they were opened there.
        options: their options.
    """

    sessions: dict[str, Session]
    backend: Backend
    candidate: Candidate
    selection: Selection
    options: SessionOptions

    def placement(self, bundle: Bundle) -> Placement:
        """Return where everything runs, as the engine reports it."""
        specs = bundle.graphs(self.candidate.target)
        facts = {graph: session.facts() for graph, session in self.sessions.items()}
        return Placement(
            backend=self.candidate.backend,
            version=self.backend.version() or "",
            target=self.candidate.target,
            device=self.candidate.device,
            precision=summary({graph: one.precision for graph, one in facts.items()}),
            threads=facts["image"].threads,
            performance=self.options.performance,
            reason=self.selection.reason,
            graphs=tuple(
                GraphPlacement(
                    graph,
                    specs[graph].precision,
                    one.precision,
                    one.nodes,
                    one.cached,
                    proven.why(bundle, self.candidate.target, graph, self.options, one.precision),
                )
                for graph, one in facts.items()
            ),
            tried=self.selection.tried,
        )


def open_bundle(bundle: Bundle, wish: Wish) -> Opened:
    """Select a candidate and open all graphs on it.

    If the best candidate no longer opens, the next one is taken, and if no candidate of a remembered choice opens, the
    measurement is repeated; `Placement` says so. A forced candidate is opened or refused. A combination that is new to
    this machine is tried in a child process first.

    Raises:
        BackendError: nothing opens, or a candidate crashes or disagrees with PyTorch.
        BundleError: a file is missing or altered.
    """
    selector = Selector(bundle, wish)
    selection = selector.select()
    failed: list[Tried] = []
    problem: BackendError | None = None
    for candidate in selection.candidates:
        opened = _open_tried(bundle, candidate, _without(selection, failed), wish.options)
        if isinstance(opened, Opened):
            return opened
        problem = problem or opened
        failed.append(Tried(Attempt(candidate, str(opened)), f"does not open: {opened}"))
    if selection.remembered:
        return open_bundle(bundle, Wish(wish.backend, wish.device, wish.options, refresh=True))
    assert problem is not None
    raise problem


def _open_tried(
    bundle: Bundle, candidate: Candidate, selection: Selection, options: SessionOptions
) -> Opened | BackendError:
    """Open one candidate after its trial in a child; return the error if it cannot be used."""
    backend = registry.find(candidate.backend)
    try:
        permission = first_use.permit(bundle, backend, candidate, options)
        options = replace(options, device=candidate.device, cache=permission.cache)
        sessions = _open(bundle, backend, candidate, options)
        if permission.unproven is not None and not first_use.check_loaded(bundle, permission.unproven, sessions):
            _close(sessions)
            permission.unproven.prove(loads=False)
            options = replace(options, cache=None)
            sessions = _open(bundle, backend, candidate, options)
    except BackendError as error:
        return error
    if permission.note:
        selection = replace(selection, reason=f"{selection.reason}; {permission.note}")
    return Opened(sessions, backend, candidate, selection, options)


def open_on(bundle: Bundle, backend: Backend, device: str, options: SessionOptions) -> Opened:
    """Open all graphs on a backend that need not be registered, without measuring.

    Raises:
        InputError: it is not a backend.
        BackendError: it cannot be used here, opens no target of the bundle, or lacks the device.
        BundleError: a file is missing or altered.
    """
    if isinstance(backend, type) or plugins.missing_members(backend):
        raise InputError(f"backend must be 'auto', a backend's name or a Backend, got {backend!r:.60}.")
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
    if not options.save_memory:
        allocator.keep_freed()
    sessions: dict[str, Session] = {}
    try:
        for graph in _largest_first(bundle, candidate.target):
            path = bundle.verified_graph(candidate.target, graph)
            sessions[graph] = backend.open(path, proven.options_for(bundle, candidate.target, graph, options))
    except BaseException:
        _close(sessions)
        raise
    return {graph: sessions[graph] for graph in bundle.manifest.graph_names}


def _largest_first(bundle: Bundle, target: str) -> list[str]:
    """Return the names of a target's graphs in the order to open them in.

    An engine holds weights twice while it opens a graph: the others should not be in memory with the largest.
    """
    files, specs = bundle.manifest.files, bundle.graphs(target)

    def size(graph: str) -> int:
        return sum(files[file].size for file in bundle.files_of(specs[graph].path))

    return sorted(bundle.manifest.graph_names, key=size, reverse=True)


def _close(sessions: dict[str, Session]) -> None:
    for session in sessions.values():
        session.close()


def _without(selection: Selection, failed: list[Tried]) -> Selection:
    """Return the selection, with the candidates marked that could not be opened."""
    if not failed:
        return selection
    gone = {one.attempt.candidate for one in failed}
    rest = [one for one in selection.tried if one.attempt.candidate not in gone]
    reason = f"{selection.reason}; the first choice did not open"
    return Selection(selection.candidates, reason, (*rest, *failed), selection.remembered)
