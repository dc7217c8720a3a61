"""The arguments that name labelled images, and the report of images that were left out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cgsam_edge.quality.defaults import ORIENTATIONS

if TYPE_CHECKING:
    from cgsam_edge.quality.labels import Labels

EXIT_LEFT_OUT = 3
"""The other images were processed; the same code as for unusable input."""

_SHOWN = 20


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that name labelled images."""
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--labels", type=Path, required=True, help="folder of index PNGs, or a COCO JSON file")
    parser.add_argument(
        "--classes",
        type=Path,
        help="for index PNGs: one concept a line in index order, and 'ignore: 255' lines for ignored indices",
    )
    parser.add_argument(
        "--labels-orientation",
        choices=ORIENTATIONS,
        help="whether labels of photos with an EXIF rotation were drawn on the photo as viewers show it, or on "
        "its pixels as stored (default: upright; labels that only fit the stored pixels are refused)",
    )
    parser.add_argument(
        "--skip-unknown", action="store_true", help="leave out classes that the bundle does not know, and name them"
    )


def opened(options: argparse.Namespace) -> Labels:
    """Return the labels that the arguments name."""
    from cgsam_edge.quality.labels import open_labels

    return open_labels(options.images, options.labels, options.classes, options.labels_orientation)


def print_remarks(notes: Sequence[str], left_out: Sequence[str]) -> int:
    """Print the images that were left out, and notes, to stderr; return the exit code."""
    for kind, lines in (("note", notes), ("left out", left_out)):
        for line in lines[:_SHOWN]:
            print(f"cgsam: {kind}: {line}", file=sys.stderr)
        if len(lines) > _SHOWN:
            print(f"cgsam: {kind}: and {len(lines) - _SHOWN} more", file=sys.stderr)
    return EXIT_LEFT_OUT if left_out else 0
