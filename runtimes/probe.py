"""Trying an engine in a child: list its devices, open the graphs of a bundle on each, and run the examples.

`trial` is the parent's side.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import CgsamError
from cgsam_edge.manifest import TEXT_GRAPHS
from cgsam_edge.runtimes.child import Requests, Say
from cgsam_edge.runtimes.devices import allowed
from cgsam_edge.runtimes.judgement import load_examples, replay_on
from cgsam_edge.runtimes.placement import Attempt, Candidate
from cgsam_edge.runtimes.protocol import Session, SessionOptions
from cgsam_edge.runtimes.proven import options_for

if TYPE_CHECKING:
    from cgsam_edge.examples import Examples
    from cgsam_edge.runtimes.protocol import Backend


@dataclass(frozen=True)
class TrialRequest:
    """What to try.

    Attributes:
        backend: "module:class" of the engine.
        bundle: the bundle's folder; if empty, devices are only listed.
        target: which of its folders of graphs.
        device: name or kind; "auto" means all that auto considers.
        skip: devices that crashed before.
        options: fields of `SessionOptions`; device and cache are filled in.
        scratch: a folder for compiled graphs, with a sub-folder for each device; empty for none.
        repeats: number of timed runs of each graph after the first.
        text: whether to try the text graphs too, if the bundle has them.
    """

    backend: str
    bundle: str = ""
    target: str = ""
    device: str = "auto"
    skip: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    scratch: str = ""
    repeats: int = 0
    text: bool = False


def scratch_of(scratch: str, device: str) -> Path | None:
    """Return the folder for a device's compiled graphs."""
    return Path(scratch) / "".join(c if c.isalnum() else "_" for c in device) if scratch else None


def serve(requests: Requests, say: Say) -> None:
    """List the devices of an engine, and try the requested ones."""
    request = TrialRequest(**next(requests))
    module, _, name = request.backend.partition(":")
    backend: Backend = getattr(importlib.import_module(module), name)()
    devices = backend.devices()
    say({"devices": [asdict(device) for device in devices]})
    if not request.bundle:
        return
    bundle = Bundle(request.bundle)
    examples = load_examples(bundle)
    for device in allowed(devices, request.device):
        if device.name not in request.skip:
            say({"trying": device.name})
            say({"attempt": asdict(attempt(backend, bundle, examples, request, device.name, say))})


def attempt(
    backend: Backend, bundle: Bundle, examples: Examples | None, request: TrialRequest, device: str, say: Say
) -> Attempt:
    """Open all graphs on one device, run the examples, and measure."""
    candidate = Candidate(backend.name, request.target, device)
    options = SessionOptions(**{**request.options, "device": device, "cache": scratch_of(request.scratch, device)})
    held = bundle.graphs(request.target)
    names = [*bundle.manifest.graph_names, *(name for name in TEXT_GRAPHS if request.text and name in held)]
    sessions: dict[str, Session] = {}
    try:
        if options.cache is not None:
            options.cache.mkdir(parents=True)
        start = time.perf_counter()
        ways = {
            graph: (bundle.verified_graph(request.target, graph), options_for(bundle, request.target, graph, options))
            for graph in names
        }
        _open(sessions, ways, backend, say)
        opened = time.perf_counter() - start
        if options.cache is not None and any(path.is_file() for path in options.cache.rglob("*")):
            _close(sessions)  # later processes load the compiled graphs, so those must be right
            _open(sessions, ways, backend, say)
        return replace(replay_on(candidate, bundle, examples, sessions, say, request.repeats), seconds_to_open=opened)
    except CgsamError as error:
        return Attempt(candidate, str(error))
    except Exception as error:  # errors of the engine's Python code; whatever it is, this candidate is rejected
        return Attempt(candidate, f"{type(error).__name__}: {error}")
    finally:
        _close(sessions)


def _open(
    sessions: dict[str, Session], ways: dict[str, tuple[Path, SessionOptions]], backend: Backend, say: Say
) -> None:
    for graph, (path, options) in ways.items():
        say({"step": f"opening the graph {graph!r}"})
        sessions[graph] = backend.open(path, options)


def _close(sessions: dict[str, Session]) -> None:
    while sessions:
        sessions.popitem()[1].close()
