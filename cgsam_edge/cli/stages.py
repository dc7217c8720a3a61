"""The stages of ``cgsam segment``: reading, preparing, the engine, drawing, writing, all at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING

from cgsam_edge.cli.inputs import Input, Item, read
from cgsam_edge.cli.outputs import RunLog, draw, write_image, write_video
from cgsam_edge.pipeline import Finished, Stage, overlap

if TYPE_CHECKING:
    from cgsam_edge.image import ImageSource, Prepared
    from cgsam_edge.results import Result

AHEAD = 6
"""Images and frames under way at once, from being read to being written."""

_DRAWERS = 2
"""Threads that draw: at many megapixels that takes longer than a small model's masks."""


def segment_all(
    inputs: list[Input], prepare: Callable[[ImageSource], Prepared], segment: Callable[[Prepared], Result]
) -> int:
    """Segment all files and write their results; return the exit code, which tells of files that could not be used.

    Raises:
        CgsamError: an output cannot be written, or the engine failed.
    """
    stages = make_stages(prepare, segment)
    with RunLog(inputs) as log, closing(overlap(read(inputs), *stages, ahead=AHEAD)) as finished:
        write_all(finished, log)
    return log.conclude(stages[1].seconds)


def make_stages(
    prepare: Callable[[ImageSource], Prepared], segment: Callable[[Prepared], Result]
) -> tuple[Stage, Stage, Stage]:
    """Return the stages between reading and writing: `Item` to `Drawn`, the engine's in the middle."""
    return (
        Stage(lambda item: (item, prepare(item.image()))),
        Stage(lambda pair: (pair[0], segment(pair[1]))),
        Stage(lambda pair: draw(*pair), _DRAWERS),
    )


def write_all(finished: Finished[Item], log: RunLog) -> None:
    """Write and log what the stages return, in the order of the files.

    Raises:
        CgsamError: an output cannot be written, or the engine failed.
    """
    for source, items in groupby(finished, lambda pair: pair[0].source):
        drawn = (done for _, done in items)
        write_image(source, drawn, log) if source.video is None else write_video(source, drawn, log)
