"""Clicks, a box and zoom on the command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cgsam_edge.cli.values import UsageError

if TYPE_CHECKING:
    from cgsam_edge.cli.inputs import Input
    from cgsam_edge.encoded import Encoded
    from cgsam_edge.results import Result


def _coordinates(count: int) -> Callable[[str], list[float]]:
    def parse(text: str) -> list[float]:
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = []
        if len(values) != count or not all(map(math.isfinite, values)):
            raise argparse.ArgumentTypeError(f"expected {count} numbers separated by commas, got {text!r}")
        return values

    return parse


_point = _coordinates(2)
_corners = _coordinates(4)


def _box(text: str) -> list[float]:
    left, top, right, bottom = _corners(text)
    if left >= right or top >= bottom:
        raise argparse.ArgumentTypeError(f"expected the left upper corner and then the right lower one, got {text!r}")
    return [left, top, right, bottom]


def add_prompts(group: argparse._ArgumentGroup) -> None:
    """Declare the options."""
    for name, where in (("--point", "inside"), ("--not-point", "outside")):
        text = f"a click {where} the object; repeat for more"
        group.add_argument(name, action="append", type=_point, default=[], metavar="X,Y", help=text)
    group.add_argument("--box", type=_box, metavar="X0,Y0,X1,Y1", help="a box around the object")
    text = (
        "compute the mask again in enlarged parts around the box or the clicks: sharper, but each takes an image's time"
    )
    group.add_argument("--zoom", action="store_true", help=text)


def prompted(options: argparse.Namespace) -> bool:
    """Whether there are clicks or a box."""
    return bool(options.point or options.not_point or options.box)


def check_prompts(options: argparse.Namespace, names: Sequence[str] | None) -> None:
    """Refuse prompts without exactly one concept, and zoom without prompts.

    Raises:
        UsageError: they do not go together.
    """
    if options.zoom and not prompted(options):
        raise UsageError("--zoom needs clicks or a box to zoom in on: give --point or --box, or leave --zoom out.")
    if prompted(options) and (names is None or len(names) != 1):
        named = f", not {len(names)} ({', '.join(names)}, with those to blur)" if names and options.blur else ""
        raise UsageError(f"--point, --not-point and --box need exactly one concept: --concepts car{named}")


def check_still(options: argparse.Namespace, opened: Sequence[Input]) -> None:
    """Refuse clicks on videos, and on animations that are read as videos.

    Raises:
        UsageError: there are clicks or a box, and a video.
    """
    from cgsam_edge.cli.inputs import is_video

    moving = [one.file for one in opened if one.video is not None or is_video(one.file)]
    if prompted(options) and moving:
        raise UsageError(
            f"{moving[0]}: --point, --not-point and --box are for images; in a video things move from under a click."
        )


def predicted(encoded: Encoded, name: str, options: argparse.Namespace) -> Result:
    """Segment a concept with the clicks and the box; whoever marks a thing says that it is there."""
    from cgsam_edge.results import Result

    points = [*options.point, *options.not_point]
    labels = [1] * len(options.point) + [0] * len(options.not_point)
    found = encoded.predict(name, points or None, labels or None, options.box, zoom=options.zoom)
    marked = bool(options.point or options.box)
    one = replace(found, present=True) if marked else found
    return Result(encoded.image, {found.name: one}, encoded.vocabulary.names_by_alias)
