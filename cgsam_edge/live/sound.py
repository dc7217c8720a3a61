"""The sound of a video in its copy: copied bit by bit where the container can hold it, else encoded anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_COPIED = {
    ".mp4": ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"),
    ".webm": ("opus", "vorbis"),
}
"""Codecs that each container may hold."""

_ENCODERS = {".mp4": ("aac", "fltp"), ".webm": ("libopus", "flt")}
"""Encoder and format of samples for everything else."""

_OPUS_RATE = 48000


class Sound:
    """The first sound of a file, on its way into another one.

    Args:
        source: PyAV's opened source, which has a sound.
        target: PyAV's container that is written.
        suffix: of the target: ``.mp4`` or ``.webm``.

    Attributes:
        codec: of the sound in the target.
        copied: whether it is the source's, bit by bit.
        cut: whether it ends early, because the source could not be read further.
    """

    def __init__(self, source: Any, target: Any, suffix: str) -> None:
        import av.error

        self._errors = av.error.FFmpegError
        self._target = target
        stream = source.streams.audio[0]
        found = stream.codec_context.name
        self.copied = found in _COPIED[suffix]
        self.codec = found if self.copied else _ENCODERS[suffix][0]
        if self.copied:
            self._made = target.add_stream_from_template(stream)
            self._packets = self._copied(source, stream)
        else:
            rate = _OPUS_RATE if self.codec == "libopus" else stream.rate
            layout = "mono" if stream.layout.nb_channels == 1 else "stereo"  # files may state no more than a number
            self._made = target.add_stream(self.codec, rate=rate, layout=layout)
            self._made.codec_context.format = _ENCODERS[suffix][1]
            self._made.codec_context.open()  # only then it is known how many samples a frame has
            self._packets = self._encoded(source, stream)
        self._waiting: Any = None
        self._last: int | None = None
        self.cut = False

    def mux(self, until: float | None) -> None:
        """Write the sound up to a time in seconds by the source's clock; None writes the rest."""
        while True:
            packet = self._waiting or self._next()
            self._waiting = packet
            if packet is None or (until is not None and float(packet.dts * packet.time_base) > until):
                return
            self._waiting = None
            self._target.mux(packet)

    def _next(self) -> Any:
        """Return the next packet, or None at the end; one that goes back in time is left out."""
        try:
            for packet in self._packets:
                if self._last is None or packet.dts > self._last:
                    self._last = packet.dts
                    return packet
        except self._errors:
            self.cut = True
        return None

    def _copied(self, source: Any, stream: Any) -> Iterator[Any]:
        for packet in source.demux(stream):
            if packet.dts is not None:  # the last one only flushes
                packet.stream = self._made
                yield packet

    def _encoded(self, source: Any, stream: Any) -> Iterator[Any]:
        import av

        context = self._made.codec_context
        resampler = av.AudioResampler(context.format, context.layout, context.rate, context.frame_size or None)
        for frame in source.decode(stream):
            for one in resampler.resample(frame):
                yield from self._made.encode(one)
        for one in resampler.resample(None):
            yield from self._made.encode(one)
        yield from self._made.encode(None)
