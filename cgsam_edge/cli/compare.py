"""``cgsam compare``: how two bundles differ on the same pictures, and which one is faster on this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from cgsam_edge.cli.engine_options import add_engine, engine
from cgsam_edge.cli.labels import print_remarks
from cgsam_edge.cli.values import UsageError, whole, wrong_usage
from cgsam_edge.quality.defaults import COMPARED_PICTURES, ORIENTATIONS


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "compare",
        help="compare the masks and the speed of two bundles",
        description="Segment the same pictures from text with two bundles, and time every graph of both. Prints a "
        "table, and writes report.html, which needs no network, and report.json. The exit code is 0 however much they "
        "differ, and 3 if images had to be left out.",
    )
    parser.add_argument("a", type=Path, metavar="A", help="the bundle to compare with")
    parser.add_argument("b", type=Path, metavar="B", help="the other bundle")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where to write the report")
    parser.add_argument("--images", type=Path, help="folder of images (default: rendered street scenes)")
    parser.add_argument("--labels", type=Path, help="folder of index PNGs, or a COCO JSON file, of these images")
    parser.add_argument("--classes", type=Path, help="for index PNGs, as for cgsam eval")
    parser.add_argument("--labels-orientation", choices=ORIENTATIONS, help="as for cgsam eval")
    parser.add_argument(
        "--concepts", metavar="NAMES", help="concepts, separated by commas (default: all that both bundles know)"
    )
    parser.add_argument(
        "--count",
        type=whole(),
        default=COMPARED_PICTURES,
        help="largest number of images, spread evenly over the folder (default: %(default)s)",
    )
    add_engine(parser, " for both bundles")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare, print and write."""
    from tqdm import tqdm

    from cgsam_edge.quality.compare import compare_bundles
    from cgsam_edge.quality.report import HTML_FILE
    from cgsam_edge.quality.sides import Opening
    from cgsam_edge.quality.sources import PictureSource
    from cgsam_edge.quality.terminal import comparison_text

    with wrong_usage():
        source = PictureSource(
            options.images, options.labels, options.classes, options.labels_orientation, options.count
        )
    concepts = _names(options.concepts)
    if source.note:
        print(f"cgsam: warning: {source.note}", file=sys.stderr)
    with tqdm(total=options.count, unit="image", leave=False, disable=None) as bar:
        quality = compare_bundles(
            options.a,
            options.b,
            source,
            options.output,
            opening=Opening(**engine(options)),
            concepts=concepts,
            progress=lambda done: bar.update(done - bar.n),
        )
    print(comparison_text(quality))
    print(f"wrote {options.output / HTML_FILE}")
    return print_remarks((), quality.left_out)


def _names(text: str | None) -> list[str] | None:
    """Return the requested concepts, or None for all."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("--concepts names no concept; leave it out for all that both bundles know.")
    return names
