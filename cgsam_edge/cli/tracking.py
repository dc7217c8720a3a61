"""``--track`` and ``--smooth`` of ``cgsam segment``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cgsam_edge.cli.values import UsageError, number
from cgsam_edge.live.smoothing import MOST, check_amount
from cgsam_edge.pipeline import follow_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsam_edge.cli.inputs import Input, Item
    from cgsam_edge.results import Result
    from cgsam_edge.segmenter import Segmenter

    Follow = Callable[[Result], Result]


def add_tracking(group: argparse._ArgumentGroup) -> None:
    """Declare the options."""
    group.add_argument(
        "--track",
        action="store_true",
        help="number the objects of videos and cameras, and of images as one series; the numbers are kept over frames",
    )
    group.add_argument(
        "--smooth",
        type=number(0, MOST),
        default=0.0,
        metavar="S",
        help=f"weight of earlier frames in masks and presence, 0 to {MOST}, so that concepts do not blink (default: 0)",
    )


def check_tracking(options: argparse.Namespace, *, prompted: bool = False) -> None:
    """Refuse a bad amount, and what follows no series of whole images.

    Raises:
        UsageError: see above.
    """
    check_amount(options.smooth)
    other = "--tile" if options.tile is not None else "clicks and boxes" if prompted else None
    if other is not None and (options.track or options.smooth):
        raise UsageError(f"--track and --smooth are for whole images that follow each other; leave out {other}.")


class Series:
    """Follows each video by itself, and all images as one series.

    Args:
        segmenter: the opened bundle.
        options: of the command.
    """

    def __init__(self, segmenter: Segmenter, options: argparse.Namespace) -> None:
        self._segmenter, self._options = segmenter, options
        self._source: Input | None = None
        self._follow = self._begin()

    def follow(self, item: Item, result: Result) -> Result:
        """Return the next result, smoothed and with tracks where the options ask for it."""
        source = None if item.frame is None else item.source
        if source is not self._source:
            self._source, self._follow = source, self._begin()
        return result if self._follow is None else self._follow(result)

    def _begin(self) -> Follow | None:
        return follow_up(self._segmenter, track=self._options.track, smooth=self._options.smooth)
