"""``cgsam doctor``: every engine and device of this machine, and which of them runs a bundle."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge._version import __version__
from cgsam_edge.cli import values
from cgsam_edge.cli.engine_options import add_soc, check_soc
from cgsam_edge.cli.values import threads
from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes.placement import ANY_DEVICE

if TYPE_CHECKING:
    from cgsam_edge.runtimes.placement import Tried
    from cgsam_edge.runtimes.protocol import Device
    from cgsam_edge.runtimes.survey import Engine


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "doctor",
        help="list engines and devices, and which of them runs a bundle",
        description="List all engines and devices, available or not. With a bundle, also run its examples on each "
        "(time of each graph, agreement with PyTorch) and show which one is chosen.",
    )
    parser.add_argument("bundle", type=Path, nargs="?", help="the bundle's folder")
    parser.add_argument("--refresh", action="store_true", help="measure again, even if a choice is remembered")
    parser.add_argument(
        "--backend", type=values.backend, default="auto", help="choose among this engine's devices only"
    )
    parser.add_argument(
        "--device", type=values.device, default="auto", help="choose among devices of this name or kind only"
    )
    add_soc(parser)
    parser.add_argument("--threads", type=threads, help="CPU threads (default: all cores)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Diagnosis:
    """The findings of the command.

    Attributes:
        system: description of the machine, and versions.
        cache: the cache folder, and whether it can be written.
        telemetry: whether the engines' telemetry is off, and if not, why.
        engines: every known engine.
        ignored: why backends of other packages are ignored.
        choice: the candidate that runs the bundle; None without a bundle, or if none runs it.
        reason: why this candidate, or why none.
        tried: what was measured.
        arithmetic: what the bundle's export proved of arithmetic below float32, a line each.
    """

    system: str
    cache: str
    telemetry: tuple[str, ...]
    engines: tuple[Engine, ...]
    ignored: tuple[str, ...] = ()
    choice: str | None = None
    reason: str = ""
    tried: tuple[Tried, ...] = ()
    arithmetic: tuple[str, ...] = ()


def run(options: argparse.Namespace) -> int:
    """Examine and report."""
    from cgsam_edge.runtimes import cache, registry, survey, telemetry
    from cgsam_edge.runtimes.protocol import cores

    _check(options)

    system = (
        f"cgsam-edge {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"CPU cores to use: {cores()}"
    )
    problem = cache.problem("choices")
    state = f"off: {problem}" if problem else f"{cache.root()} (can be written)"
    choice, reason, tried = (None, "", ()) if options.bundle is None else _choose(options)
    found = Diagnosis(
        system, state, telemetry.state(), tuple(survey.engines()), registry.ignored(), choice, reason, tried,
        _arithmetic(options.bundle),
    )  # fmt: skip
    print(json.dumps(asdict(found), indent=1) if options.json else "\n".join(lines(found)))
    return 0 if options.bundle is None or choice is not None else BackendError.exit_code


def _check(options: argparse.Namespace) -> None:
    """Refuse, without a bundle, options that choose what runs one, and a chip without its device."""
    from cgsam_edge.runtimes.devices import AUTO

    chosen = {
        "--backend": options.backend != AUTO,
        "--device": options.device != AUTO,
        "--soc": options.soc is not None,
        "--threads": options.threads is not None,
        "--refresh": options.refresh,
    }
    names = ", ".join(name for name, given in chosen.items() if given)
    if options.bundle is None and names:
        raise values.UsageError(f"{names}: for choosing what runs a bundle; name the bundle too, or give none of them.")
    check_soc(options)


def _arithmetic(path: Path | None) -> tuple[str, ...]:
    from cgsam_edge import arithmetic
    from cgsam_edge.bundle import Bundle

    if path is None:
        return ()
    manifest = Bundle(path).manifest
    found = [
        f"{target}: {line}" for target in manifest.targets for line in arithmetic.lines(manifest.arithmetic, target)
    ]
    return tuple(found or ["float32 on CPUs: the bundle holds no proof of less"])


def _choose(options: argparse.Namespace) -> tuple[str | None, str, tuple[Tried, ...]]:
    from cgsam_edge.bundle import Bundle
    from cgsam_edge.runtimes import first_use, registry
    from cgsam_edge.runtimes.protocol import SessionOptions
    from cgsam_edge.runtimes.selection import Selector, Wish

    bundle = Bundle(options.bundle)
    wish = Wish(options.backend, options.device, SessionOptions(options.threads, soc=options.soc), options.refresh)
    try:
        selection = Selector(bundle, wish).select()
    except BackendError as error:
        return None, str(error), ()
    problem = ""
    for candidate in selection.candidates:  # in the way that a segmenter opens them
        try:
            first_use.permit(bundle, registry.find(candidate.backend), candidate, wish.options)
        except BackendError as error:  # noqa: PERF203 — each is tried once
            problem = problem or str(error)
        else:
            return str(candidate), selection.reason, selection.tried
    return None, problem, selection.tried


def lines(found: Diagnosis) -> Iterator[str]:
    """Yield what the terminal shows."""
    yield found.system
    yield f"cache: {found.cache}"
    for line in found.telemetry:
        yield f"engines' telemetry: {line}"
    for engine in found.engines:
        yield ""
        yield engine.problem or f"{engine.name} {engine.version}"
        for device in engine.devices:
            yield from _device(engine, device, found.tried)
        yield from _verdicts(
            engine.name, ANY_DEVICE, tuple(one for one in found.tried if one.verdict != engine.problem)
        )
    if found.ignored:
        yield ""
        yield from found.ignored
    if found.arithmetic:
        yield ""
        yield from (f"arithmetic: {line}" for line in found.arithmetic)
    if found.reason:
        yield ""
        yield f"choice: {found.choice or 'none'} ({found.reason})"


def _device(engine: Engine, device: Device, tried: tuple[Tried, ...]) -> Iterator[str]:
    state = f"not here: {device.missing}" if device.missing else device.description or "seen"
    yield f"  {device.name:9} {state}"
    yield from _verdicts(engine.name, device.name, tried)


def _verdicts(engine: str, device: str, tried: tuple[Tried, ...]) -> Iterator[str]:
    for one in tried:
        attempt = one.attempt
        if (attempt.candidate.backend, attempt.candidate.device) != (engine, device):
            continue
        indent = " " * 12
        yield f"{indent}{one.verdict}"
        if attempt.milliseconds:
            times = ", ".join(f"{graph} {ms:.1f} ms" for graph, ms in attempt.milliseconds.items())
            yield f"{indent}{times}; opened in {attempt.seconds_to_open:.1f} s"
        if attempt.usable and attempt.errors:
            yield (
                f"{indent}{attempt.precision}, error at most {max(attempt.errors.values()):.1e} of the standard "
                f"deviation (limit {attempt.limit:.0e}), mask IoU {attempt.mask_iou:.4f}"
            )
