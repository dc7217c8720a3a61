"""``cgsam pack``: a bundle as one file for a web page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "pack",
        help="write a bundle as one .zip for a web page",
        description="Write what a web page needs of a bundle into one .zip: the vocabulary and the graphs of one "
        "target, without examples, report and the graphs that learn new names. The same bundle gives the same bytes.",
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the .zip (default: the bundle's name, here)")
    parser.add_argument(
        "--target",
        choices=("onnxruntime", "openvino", "coreml"),
        default="onnxruntime",
        help="whose graphs are packed (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the file."""
    from cgsam_edge.bundle import Bundle
    from cgsam_edge.pack import pack

    output = options.output or Path(f"{options.bundle.resolve().stem}.zip")
    size = pack(Bundle(options.bundle), output, options.target)
    print(f"wrote {output}, {size / 1e6:.1f} MB")
    return 0
