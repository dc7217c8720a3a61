"""The child process that tries an engine: ``python -m cgsam_edge.runtimes.probe``, a request in, lines of JSON out.

An engine or a driver that crashes takes this process along, and not the caller's. `children` is the other side.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import CgsamError
from cgsam_edge.examples import EXAMPLES_FILE, Examples, limit, replay
from cgsam_edge.manifest import GRAPH_NAMES, TEXT_GRAPHS
from cgsam_edge.runtimes import cache
from cgsam_edge.runtimes.devices import allowed
from cgsam_edge.runtimes.lines import Say, speaker
from cgsam_edge.runtimes.placement import Attempt, Candidate
from cgsam_edge.runtimes.protocol import Session, SessionOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Backend

    Float = NDArray[np.float32]

_LONG_RUN = 1.0
"""Seconds; a first run that takes longer is measure enough."""

_REPEATS = 5


@dataclass(frozen=True)
class Request:
    """What to try.

    Attributes:
        backend: "module:class" of the engine.
        bundle: the bundle's folder; empty only lists the devices.
        target: which of its folders of graphs.
        device: by name or kind; "auto" means all that auto considers.
        skip: devices that crashed before.
        options: fields of `SessionOptions`; the device is filled in.
        digest: of the bundle's graphs, under which compiled ones are cached; empty for no cache.
        text: whether to try the graphs that learn new names too, where the bundle has them.
    """

    backend: str
    bundle: str = ""
    target: str = ""
    device: str = "auto"
    skip: tuple[str, ...] = ()
    options: dict[str, Any] | None = None
    digest: str = ""
    text: bool = False


def serve(request: Request, say: Say) -> None:
    """List the devices of an engine, and try those that are asked for."""
    module, _, name = request.backend.partition(":")
    backend: Backend = getattr(importlib.import_module(module), name)()
    devices = backend.devices()
    say({"devices": [asdict(device) for device in devices]})
    if not request.bundle:
        return
    bundle = Bundle(request.bundle)
    bundle.verify([EXAMPLES_FILE])
    examples = Examples.load(bundle.path / EXAMPLES_FILE)
    for device in allowed(devices, request.device):
        if device.name not in request.skip:
            say({"trying": device.name})
            say({"attempt": asdict(attempt(backend, bundle, examples, request, device.name, say))})


def attempt(backend: Backend, bundle: Bundle, examples: Examples, request: Request, device: str, say: Say) -> Attempt:
    """Open all graphs on one device, run the examples, and measure."""
    candidate = Candidate(backend.name, request.target, device)
    cached = cache.compiled(backend.name, backend.version() or "", device, request.digest) if request.digest else None
    options = SessionOptions(**{**(request.options or {}), "device": device, "cache": cached})
    sessions: dict[str, Session] = {}
    held = bundle.graphs(request.target)
    try:
        start = time.perf_counter()
        for graph in (*GRAPH_NAMES, *(name for name in TEXT_GRAPHS if request.text and name in held)):
            say({"step": f"opening the graph {graph!r}"})
            sessions[graph] = backend.open(bundle.verified_graph(request.target, graph), options)
        opened = time.perf_counter() - start
        return _judge(candidate, bundle, examples, sessions, opened, say)
    except CgsamError as error:
        return Attempt(candidate, str(error))
    except Exception as error:  # of the engine's Python side; whatever it is, this candidate is out
        return Attempt(candidate, f"{type(error).__name__}: {error}")
    finally:
        for session in sessions.values():
            session.close()


def _judge(
    candidate: Candidate, bundle: Bundle, examples: Examples, sessions: dict[str, Session], opened: float, say: Say
) -> Attempt:
    specs = bundle.graphs(candidate.target)
    times: dict[str, float] = {}

    def run(graph: str, inputs: dict[str, Float]) -> dict[str, Float]:
        say({"step": f"running the graph {graph!r}"})
        out, times[graph] = timed(lambda: sessions[graph].run(inputs))
        return out

    names = {graph: [tensor.name for tensor in specs[graph].inputs] for graph in sessions}
    found = replay(examples, names, bundle.manifest.geometry.image_size, run)
    precision = sessions["image"].facts().precision
    allowed = max(limit(specs[graph].precision, precision) for graph in sessions)
    problem = ""
    for agreement in found.values():
        if not agreement.finite:
            problem = problem or f"rejected: the graph {agreement.graph!r} returned NaN or infinity"
        if not agreement.rms_error <= allowed:
            problem = problem or (
                f"rejected: the graph {agreement.graph!r} disagrees with PyTorch: error {agreement.rms_error:.1e} of "
                f"the standard deviation, limit {allowed:.0e}"
            )
    return Attempt(
        candidate,
        problem,
        {graph: 1000 * seconds for graph, seconds in times.items()},
        {graph: _number(agreement.rms_error) for graph, agreement in found.items()},
        found["decoder"].mask_iou,
        precision,
        opened,
        allowed,
    )


def timed(run: Callable[[], dict[str, Float]]) -> tuple[dict[str, Float], float]:
    """Return the result of a run and its seconds: the least of a few after the first, if that is short.

    What else the machine does only adds to a time, so the least tells engines apart best.
    """
    start = time.perf_counter()
    out = run()
    first = time.perf_counter() - start
    if first > _LONG_RUN:
        return out, first
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return out, min(times)


def _number(value: float) -> float:
    """Return a number that JSON has; -1 stands for those that it has not."""
    return value if value == value and abs(value) != float("inf") else -1.0  # noqa: PLR0124 — NaN differs from itself


def main() -> None:
    """Read a request from the standard input; engines that print do so to the standard error."""
    say = speaker()
    try:
        serve(Request(**json.load(sys.stdin)), say)
    except CgsamError as error:
        say({"failed": str(error)})
    except Exception as error:  # told to the parent as it is
        say({"failed": f"{type(error).__name__}: {error}"})
    say({"done": True})
    os._exit(0)  # an engine that crashes while it is unloaded has told all that is needed


if __name__ == "__main__":
    main()
