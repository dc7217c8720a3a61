"""``cgsam vocab``: list, add and remove the concepts of a bundle, without a new export."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import values
from cgsam_edge.errors import ConceptsError
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from numpy.typing import NDArray


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "vocab",
        help="list, add and remove a bundle's concepts",
        description="Change which concepts a bundle contains. Adding needs a bundle that was exported with "
        "--text-encoder.",
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="names, synonyms, and whether presence is calibrated")
    listing.set_defaults(run=run_list)
    adding = actions.add_parser("add", help="add concepts")
    adding.set_defaults(run=run_add)
    removing = actions.add_parser("remove", help="remove concepts")
    removing.set_defaults(run=run_remove)
    for action in (listing, adding, removing):
        action.add_argument("bundle", type=Path, help="the bundle's folder")
    adding.add_argument(
        "concepts", nargs="+", metavar="CONCEPT", help="'name | synonym | synonym'; write \\# for a # within a name"
    )
    adding.add_argument(
        "--embedding",
        type=Path,
        metavar="FILE",
        help=".npy with CLIP's text embedding of one concept, not normalised; this needs --text-encoder too, as "
        "its files hold the text half of the model's adapters",
    )
    adding.add_argument("--backend", type=values.backend, default="auto", help="force this engine (default: auto)")
    removing.add_argument("concepts", nargs="+", metavar="CONCEPT", help="a name or synonym")
    for action in (adding, removing):
        action.add_argument("--output", type=Path, metavar="FOLDER", help="write to this bundle instead")


def run_list(options: argparse.Namespace) -> int:
    """Print one line per concept."""
    vocabulary = Bundle(options.bundle).vocabulary
    for concept in vocabulary.concepts:
        known = "presence calibrated" if vocabulary.calibrated(concept.name) else "always present"
        print(f"{' | '.join((concept.name, *concept.synonyms))}  ({known})")
    return 0


def run_add(options: argparse.Namespace) -> int:
    """Add concepts."""
    from cgsam_edge.revise import add_concepts

    embedding = None if options.embedding is None else _read(options.embedding)
    written = add_concepts(
        options.bundle,
        options.concepts,
        embedding=embedding,
        output=options.output,
        backend=options.backend,
        progress=lambda line: print(f"note: {line}", file=sys.stderr),
    )
    print(f"wrote {written}: {amount(len(Bundle(written).vocabulary.concepts), 'concept')}")
    return 0


def run_remove(options: argparse.Namespace) -> int:
    """Remove concepts."""
    from cgsam_edge.revise import remove_concepts

    written = remove_concepts(options.bundle, options.concepts, output=options.output)
    print(f"wrote {written}: {amount(len(Bundle(written).vocabulary.concepts), 'concept')}")
    return 0


def _read(path: Path) -> NDArray[np.float32]:
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float32).squeeze()
    except (OSError, ValueError, EOFError, TypeError, MemoryError) as error:
        raise ConceptsError(f"{path}: not a .npy file of numbers ({error}).") from error
