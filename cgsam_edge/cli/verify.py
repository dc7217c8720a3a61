"""``cgsam verify``: checks that the engines of this machine compute what PyTorch computed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cgsam_edge.cli import values
from cgsam_edge.cli.engine_options import add_bundle, add_soc
from cgsam_edge.cli.values import threads
from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes.protocol import PRECISIONS

if TYPE_CHECKING:
    from cgsam_edge.bundle import Bundle
    from cgsam_edge.runtimes.placement import Attempt
    from cgsam_edge.runtimes.protocol import Backend


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "verify",
        help="check that the engines of this machine agree with PyTorch",
        description="Check every file of a bundle, and replay its examples on every engine and device of this machine "
        "that can open one of its targets. The exit code is 0 if all of them agree with PyTorch, else 3.",
    )
    add_bundle(parser)
    parser.add_argument("--backend", type=values.backend, default="auto", help="only this engine (default: all)")
    parser.add_argument(
        "--device", type=values.device, default="auto", help="only this device (default: all available ones)"
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="default", help="of the arithmetic (default: default)"
    )
    add_soc(parser)
    parser.add_argument("--threads", type=threads, help="CPU threads (default: all cores)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Replay and report."""
    from cgsam_edge import arithmetic
    from cgsam_edge.bundle import Bundle
    from cgsam_edge.runtimes import registry, survey
    from cgsam_edge.runtimes.protocol import SessionOptions

    how = SessionOptions(options.threads, precision=options.precision, soc=options.soc)
    bundle = Bundle(options.bundle)
    bundle.verify()
    survey.check_examples(bundle)
    print(f"{bundle.path}: {bundle.size / 1e6:.1f} MB, all files verified", flush=True)
    for target in bundle.manifest.targets:
        for line in arithmetic.lines(bundle.manifest.arithmetic, target):
            print(f"{target}: {line}", flush=True)
    backends = registry.fitting(options.backend, bundle.manifest.targets)
    attempts: list[Attempt] = []
    problems: list[str] = []
    for backend, target in _pairs(bundle, backends):
        found = survey.replay(bundle, backend, target, how, options.device)
        if found.problem:
            problems.append(f"{backend.name}: {found.problem}")
            print(f"cgsam: error: {problems[-1]}", file=sys.stderr)
        for attempt in found.attempts:
            print("\n".join(lines(attempt, backend.version() or "")), flush=True)
        attempts += found.attempts
    for target in set(bundle.manifest.targets) - {attempt.candidate.target for attempt in attempts}:
        print(f"{target}: not replayed: no engine of this machine ran it")
    if not attempts and not problems:
        raise BackendError(f"no engine of this machine has the device {options.device!r}; see cgsam doctor.")
    return BackendError.exit_code if problems or not all(attempt.usable for attempt in attempts) else 0


def _pairs(bundle: Bundle, backends: list[Backend]) -> Iterator[tuple[Backend, str]]:
    for backend in backends:
        for target in backend.targets:
            if target in bundle.manifest.targets:
                yield backend, target


def lines(attempt: Attempt, version: str) -> Iterator[str]:
    """Yield an attempt's lines for the terminal."""
    one = attempt.candidate
    verdict = "agrees with PyTorch" if attempt.usable else attempt.problem
    computed = f", {attempt.precision}" if attempt.precision else ""
    yield f"{one.backend} {version} on {one.device}, target {one.target}{computed}: {verdict}"
    for graph, error in attempt.errors.items():
        shown = f"{error:.1e}" if error >= 0 else "NaN"
        yield f"  {graph:8} error {shown} of the standard deviation, {attempt.milliseconds[graph]:.1f} ms"
    if attempt.mask_iou is not None:
        yield f"  mask IoU {attempt.mask_iou:.4f}; errors up to {attempt.limit:.0e} pass"
