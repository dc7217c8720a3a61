"""``cgsam card``: a bundle's model card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_SHOWN = 3
"""Number of pictures on a card."""


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "card",
        help="write a bundle's model card, for a model hub",
        description="Write README.md into a bundle, with the front matter that model hubs read: concepts, accuracy, "
        "size, origin and limits, all taken from the bundle's manifest and report.",
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument(
        "--licence", "--license", metavar="NAME", help="the model's licence, such as apache-2.0 (default: not stated)"
    )
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help=f"photos, of which {_SHOWN} are shown with masks (default: none)"
    )
    parser.add_argument("--force", action="store_true", help="replace a README.md that this command did not write")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the card."""
    from cgsam_edge.agreement import spread_evenly
    from cgsam_edge.bundle import Bundle
    from cgsam_edge.quality.card import write_card
    from cgsam_edge.segmenter import Segmenter

    bundle = Bundle(options.bundle)
    if options.images is None:
        path = write_card(bundle, licence=options.licence, replace=options.force)
    else:
        images = spread_evenly(_photos(options.images), _SHOWN)
        with Segmenter(options.bundle) as segmenter:
            path = write_card(
                bundle, licence=options.licence, images=images, segmenter=segmenter, replace=options.force
            )
    print(f"wrote {path}")
    return 0


def _photos(folder: Path) -> list[Path]:
    """Return the pictures that ``cgsam segment`` would take from the folder: none that was drawn, and no labels."""
    from cgsam_edge.cli.destinations import without_labels, without_marked
    from cgsam_edge.cli.inputs import find_images
    from cgsam_edge.cli.messages import say

    def note(line: str) -> None:
        say(f"cgsam: warning: {line}")

    named = [str(folder)]
    return without_labels(without_marked(list(find_images(named)), named, note), named, note)
