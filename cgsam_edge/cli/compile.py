"""``cgsam compile``: compile a bundle's graphs ahead of time for named NPUs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cgsam_edge.cli.values import soc


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "compile",
        help="compile a bundle ahead of time for Qualcomm's NPUs",
        description="Write a bundle that also holds its ONNX graphs compiled for chips of Qualcomm, so that a device "
        "opens them without compiling. Needs onnxruntime-qnn; no such chip need be here.",
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    text = "chips by Qualcomm's model number, with commas, such as 43,57,69 (Snapdragon 8 Gen 2, 8 Gen 3, 8 Elite)"
    parser.add_argument("--soc", type=_numbers, required=True, metavar="N,N", help=text)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="the bundle to write")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compile and write."""
    from cgsam_edge.compile_bundle import compile_bundle

    written = compile_bundle(options.bundle, options.soc, options.output, lambda line: print(line, flush=True))
    print(f"wrote {written}")
    return 0


def _numbers(text: str) -> list[int]:
    try:
        return [soc(one) for one in text.split(",")]
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas, such as 57,69, got {text!r}") from None
