"""What a video's copy keeps of it: the clock, the first frame's time, the end, colours, and the sound."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from cgsam_edge.video import typable

BT709 = 1
"""FFmpeg's number of the matrix of HD video."""


@dataclass(frozen=True)
class SourceFacts:
    """Facts of a video file.

    Attributes:
        time_base: seconds of a tick of its clock.
        start: time of the first frame in seconds by its clock, which sound and pictures share.
        end: time at which the last frame ends by the same clock, or None if the file does not state it.
        hd: whether its colours follow BT.709.
        shape: width of a pixel divided by its height.
        sound: whether it has a sound.
    """

    time_base: Fraction
    start: float
    end: float | None
    hd: bool
    shape: Fraction
    sound: bool


def facts_of(av: Any, path: str) -> SourceFacts | None:
    """Read the facts; None if FFmpeg finds no picture in the file.

    Args:
        av: PyAV.
        path: a video.
    """
    with suppress(av.error.FFmpegError, StopIteration), typable(path) as name, av.open(name) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        base = stream.time_base
        start = float((frame.pts or 0) * base)
        end = None if stream.duration is None else float((stream.start_time or 0) * base + stream.duration * base)
        shape = stream.sample_aspect_ratio or Fraction(1)
        turned = abs(getattr(frame, "rotation", 0)) % 180 == 90
        return SourceFacts(
            base, start, end, frame.colorspace == BT709, 1 / shape if turned else shape,
            bool(container.streams.audio),
        )  # fmt: skip
    return None
