"""``cgsam migrate``: a bundle of an older format in the newest one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cgsam_edge.manifest import FORMAT_VERSION


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "migrate",
        help="rewrite a bundle of an older format in the newest one",
        description=f"Rewrite a bundle as format {FORMAT_VERSION}, in which CLIP is a graph apart. Masks stay the "
        "same, and no checkpoint is needed. Graphs for onnxruntime are split with the package onnx, those for openvino "
        "with openvino. A bundle of an older format runs as it is; the new one can set a precision for CLIP alone.",
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="another bundle to write instead")
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="TARGET",
        help="leave a target out, such as coreml, whose packages only a new export can make; may be repeated",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Rewrite the bundle."""
    from cgsam_edge.bundle import Bundle
    from cgsam_edge.migrate import migrate

    written = Bundle(migrate(options.bundle, options.output, drop=options.drop))
    print(f"wrote {written.path}: {written.size / 1e6:.1f} MB, format {written.manifest.format_version}")
    return 0
