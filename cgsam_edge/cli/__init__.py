"""The command line: ``cgsam`` and ``cgsam-export``. Parse, run, and turn errors into a line and an exit code."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from cgsam_edge._version import __version__
from cgsam_edge.cli import messages
from cgsam_edge.cli.command_parser import CommandParser
from cgsam_edge.errors import CgsamError
from cgsam_edge.runtimes import telemetry

EXIT_INTERNAL = 1
EXIT_UNUSABLE = 3
EXIT_INTERRUPTED = 130

_EPILOG = (
    "exit codes: 0 done, 1 internal error, 2 wrong usage, 3 unusable input or output, 4 an export's masks too far from "
    "PyTorch's, 130 interrupted"
)

_COORDINATES = re.compile(r"-\.?\d[^\s,]*(?:,[^\s,]+)+")
"""Numbers with commas, the first below zero: -5,3."""

_FIRST_STEPS = """\
cgsam segments images by concept, on this machine alone.

See it work, with the reference model of the package:
  cgsam demo

Segment your own pictures with your own bundle:
  cgsam segment photos/ --bundle cars.cgsam --concepts car,road --output masks

Make a bundle from a checkpoint, on a PC with the extra 'export':
  cgsam-export --checkpoint model.pth --concepts concepts.txt --output cars.cgsam

cgsam doctor        lists the engines and devices of this machine.
cgsam --help        lists all commands; cgsam COMMAND --help explains one.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``cgsam``; without arguments, print what to do first."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given:
        print(_FIRST_STEPS, end="")
        return 0
    return _run("cgsam", make_parser, given)


def export_main(arguments: Sequence[str] | None = None) -> int:
    """Run ``cgsam-export``."""
    return _run("cgsam-export", make_export_parser, arguments)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of ``cgsam``."""
    from cgsam_edge.cli import (
        bench,
        calibrate,
        card,
        compare,
        compile,  # noqa: A004 — named as its command
        completion,
        demo,
        doctor,
        evaluate,
        info,
        label,
        migrate,
        pack,
        plan,
        segment,
        serve,
        verify,
        vocab,
    )

    parser = CommandParser(
        prog="cgsam", description="Segment images by concept with an exported bundle.", epilog=_EPILOG
    )
    parser.add_argument("--version", action="version", version=f"cgsam-edge {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    demo.add_parser(commands)
    segment.add_parser(commands)
    serve.add_parser(commands)
    label.add_parser(commands)
    info.add_parser(commands)
    evaluate.add_parser(commands)
    calibrate.add_parser(commands)
    compare.add_parser(commands)
    vocab.add_parser(commands)
    migrate.add_parser(commands)
    card.add_parser(commands)
    pack.add_parser(commands)
    verify.add_parser(commands)
    doctor.add_parser(commands)
    bench.add_parser(commands)
    plan.add_parser(commands)
    compile.add_parser(commands)
    completion.add_parser(commands)
    export = commands.add_parser("export", help="make a bundle from a checkpoint (needs the extra 'export')")
    _add_export(export)
    return parser


def make_export_parser() -> argparse.ArgumentParser:
    """Return the parser of ``cgsam-export``."""
    parser = CommandParser(prog="cgsam-export")
    _add_export(parser)
    return parser


def _add_export(parser: argparse.ArgumentParser) -> None:
    from cgsam_edge.cli import export

    export.add_arguments(parser)
    parser.epilog = _EPILOG


def _run(name: str, make: Callable[[], argparse.ArgumentParser], arguments: Sequence[str] | None) -> int:
    messages.prepare_streams()
    try:
        parser = make()
    except CgsamError as error:  # a library that cannot be loaded on this machine
        return _fail(name, str(error), error.exit_code)
    options = parser.parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)  # a terminated export then cleans up like an interrupted one
    run: Callable[[argparse.Namespace], int] = options.run
    telemetry.silence()
    try:
        with messages.warnings_as_lines():
            return run(options)
    except CgsamError as error:
        return _fail(name, str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail(name, "interrupted; no half-written output was left.", EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            return _fail(name, f"{error.filename}: {error.strerror}.", EXIT_UNUSABLE)
        if os.environ.get("CGSAM_DEBUG"):
            raise
        message = f"internal error: {type(error).__name__}: {error} (set CGSAM_DEBUG=1 for the traceback)"
        return _fail(name, message, EXIT_INTERNAL)


def _joined(arguments: Sequence[str]) -> list[str]:
    """Join coordinates that begin with a minus to their option, because argparse would read them as options."""
    made: list[str] = []
    for one in arguments:
        if _COORDINATES.fullmatch(one) and made and made[-1].startswith("--"):
            made[-1] += f"={one}"
        else:
            made.append(one)
    return made


def _fail(name: str, message: str, code: int) -> int:
    print(f"{name}: error: {message}", file=sys.stderr)
    return code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
