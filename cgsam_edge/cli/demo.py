"""``cgsam demo``: a first mask, from the reference model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_NEXT = """\
Next: cgsam segment photos/ --bundle cars.cgsam         your own pictures, with a bundle of your own model
      cgsam-export --checkpoint model.pth --concepts concepts.txt     such a bundle, on a PC with the extra 'export'
      cgsam doctor                                      the engines and devices of this machine"""


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "demo",
        help="segment a rendered street scene, to see it work",
        description="Render a street scene that the reference model has not seen, segment it, and write three "
        "pictures: the scene, the masks of all concepts, and one concept with clicks.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo"), metavar="FOLDER", help="where to write (default: demo)"
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="FOLDER",
        help="another bundle of the same concepts (default: the reference bundle)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the pictures, and say what is in them and what to try next."""
    from cgsam_edge.files import check_folder
    from cgsam_edge.quality.demo import write_demo
    from cgsam_edge.segmenter import Segmenter

    check_folder(options.output)  # before the model is opened, which takes seconds
    with Segmenter(options.bundle) as segmenter:
        made = write_demo(segmenter, options.output)
        engine = f"{segmenter.placement.backend} on {segmenter.placement.device}"
    found = [one.name for one in made.result.values() if one.present]
    absent = [one.name for one in made.result.values() if not one.present]
    print(f"{made.scene}: a rendered street scene")
    print(f"{made.overlay}: {', '.join(found)}; absent: {', '.join(absent) or 'none'} ({engine})")
    print(f"{made.clicks}: one concept from its name alone, and with clicks")
    print(f"\n{_NEXT}")
    return 0
