"""The stages of ``cgsam segment``: reading, preparing, the engine, drawing, writing, all at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING, Any

from cgsam_edge.cli.drawing import Parcel, draw
from cgsam_edge.cli.inputs import Input, Item, read
from cgsam_edge.cli.looks import OVERLAY, Look
from cgsam_edge.cli.outputs import RunLog, write_image, write_video
from cgsam_edge.image import pixel_count
from cgsam_edge.pipeline import Processed, Stage, overlap

if TYPE_CHECKING:
    from cgsam_edge.results import Result

    Follow = Callable[[Item, Result], Result]

AHEAD = 6
"""Images and frames in progress at once, from reading to writing."""

_DRAWERS = 2
"""Threads that draw: for many megapixels, drawing takes longer than a small model's masks."""

_BYTES_A_PIXEL = 12
"""Bytes a pixel: the image, its overlay with a legend, and the two maps that the overlay is painted from."""


def segment_all(
    inputs: list[Input],
    prepare: Callable[[Item], Any],
    segment: Callable[[Any], Result],
    missing: int = 0,
    look: Look = OVERLAY,
    follow: Follow | None = None,
) -> int:
    """Segment all files and write their results; return the exit code, 3 if some files could not be used.

    Args:
        inputs: the files.
        prepare: reads an image.
        segment: runs the engine.
        missing: number of names without a file, already reported.
        look: how results are drawn.
        follow: takes each image with its result in order, and returns the result to write; None changes nothing.

    Raises:
        CgsamError: outputs cannot be written, or the engine failed.
    """
    stages = make_stages(prepare, segment, look, follow)
    under_way = overlap(read(inputs), *stages, ahead=AHEAD, weigh=weight)
    with RunLog(inputs, missing) as log, closing(under_way) as processed:
        write_all(processed, log, look)
    return log.conclude(stages[1].seconds)


def make_stages(
    prepare: Callable[[Item], Any],
    segment: Callable[[Any], Result],
    look: Look = OVERLAY,
    follow: Follow | None = None,
) -> tuple[Stage, ...]:
    """Return the stages between reading and writing, from `Item` to `Drawn`; the engine's is the second."""
    stages = [
        Stage(lambda item: Parcel(item, prepare(item))),
        Stage(lambda parcel: Parcel(parcel.item, segment(parcel.take()))),
    ]
    if follow is not None:
        stages.append(Stage(lambda parcel: Parcel(parcel.item, follow(parcel.item, parcel.take()))))
    return (*stages, Stage(lambda parcel: draw(parcel, look), _DRAWERS))


def weight(item: Item) -> int:
    """Return how many bytes an image or frame occupies until its results are written."""
    return 0 if item.error is not None else _BYTES_A_PIXEL * pixel_count(item.image())


def write_all(processed: Processed[Item], log: RunLog, look: Look = OVERLAY) -> None:
    """Write and report the stages' results, in the order of the files.

    Raises:
        CgsamError: outputs cannot be written, or the engine failed.
    """
    for source, items in groupby(processed, lambda pair: pair[0].source):
        drawn = (done for _, done in items)
        if source.video is None or source.error is not None:
            write_image(source, drawn, log, look)
        else:
            write_video(source, drawn, log, look)
