"""``--tile`` of ``cgsam segment``, ``label`` and ``eval``: its options, what they exclude, and a bar of tiles."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cgsam_edge.cli.values import UsageError, number
from cgsam_edge.tiling.lattice import AUTO_TILE, MOST_OVERLAP, OVERLAP, check_overlap, tile_side

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsam_edge.cli.inputs import Item
    from cgsam_edge.manifest import Geometry
    from cgsam_edge.tiling.windows import WindowReader


def add_tiles(group: argparse._ArgumentGroup) -> None:
    """Declare the options."""
    group.add_argument(
        "--tile",
        type=_side,
        metavar="auto|N",
        help="segment in tiles of N pixels, or of the model's own size (auto), which finds smaller things; TIFFs may "
        "then have more than 100 megapixels",
    )
    group.add_argument(
        "--overlap",
        type=number(0, MOST_OVERLAP),
        metavar="SHARE",
        help=f"share of a tile that the next one covers again, 0 to {MOST_OVERLAP} (default: {OVERLAP})",
    )


def _side(text: str) -> str | int:
    if text == AUTO_TILE:
        return text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected {AUTO_TILE!r} or a number of pixels, got {text!r}")
    return int(text)


def check_tiles(options: argparse.Namespace, *, prompted: bool) -> None:
    """Refuse, before any work, what ``cgsam segment`` cannot combine.

    Raises:
        UsageError: an option needs tiles, or does not go with them.
    """
    check_lattice(options, "--point, --not-point and --box" if prompted else "")
    if options.tile is not None and options.time_budget is not None:
        raise UsageError(
            "--time-budget ends after a concept, and --tile computes all concepts together; leave one out."
        )


def check_lattice(options: argparse.Namespace, prompts: str = "") -> None:
    """Refuse an overlap without tiles or outside its range, and prompts beside tiles.

    Args:
        options: parsed, with what `add_tiles` declared.
        prompts: the options by which clicks and boxes were given; empty for none.

    Raises:
        UsageError: see above.
    """
    if options.tile is None:
        if options.overlap is not None:
            raise UsageError("--overlap is for tiles; give --tile too, or leave it out.")
        return
    check_overlap(options.overlap)
    if prompts:
        raise UsageError(f"--tile is for text alone; with {prompts}, leave it out.")


def check_side(options: argparse.Namespace, geometry: Geometry) -> None:
    """Raise `InputError` if tiles would be smaller than the model's logits."""
    if options.tile is not None:
        tile_side(options.tile, geometry)


def opened_item(item: Item, options: argparse.Namespace) -> WindowReader:
    """Open an image or a frame to segment it in tiles; the caller closes it."""
    from cgsam_edge.tiling.windows import open_windows

    if item.frame is not None:
        return open_windows(item.image())
    return open_windows(item.image(), bits=options.bits, page=options.page)


@contextmanager
def tile_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield a callback that shows the tiles done as a bar, in a terminal, below the bar of images."""
    from tqdm import tqdm

    with tqdm(total=0, desc="tiles", unit="tile", leave=False, disable=None, position=1) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
