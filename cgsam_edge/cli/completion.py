"""``cgsam completion``: a script with which a shell completes commands, options and files."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from cgsam_edge.cli.reference import commands as commands_of
from cgsam_edge.errors import BackendError

SHELLS = ("bash", "zsh", "tcsh")


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "completion",
        help="print a script that completes commands and options in your shell",
        description="Print a completion script. For bash: cgsam completion bash > "
        "~/.local/share/bash-completion/completions/cgsam",
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.add_argument(
        "--program", choices=("cgsam", "cgsam-export"), default="cgsam", help="the program to complete (default: cgsam)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    from cgsam_edge import cli

    if not importlib.util.find_spec("shtab"):
        raise BackendError("completion scripts need the package shtab: pip install 'cgsam-edge[completion]'.")
    import shtab

    parser = cli.make_parser() if options.program == "cgsam" else cli.make_export_parser()
    _complete_files(parser, shtab.FILE)
    print(shtab.complete(parser, options.shell))
    return 0


def _complete_files(parser: argparse.ArgumentParser, files: Any) -> None:
    """Let each argument that is a path complete files."""
    for action in parser._actions:  # noqa: SLF001 — argparse has no public way to list what was declared
        if action.type is Path:
            action.complete = files  # type: ignore[attr-defined]  # shtab looks for it here
    for one in commands_of(parser).values():
        _complete_files(one, files)
