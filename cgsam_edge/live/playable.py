"""Videos that browsers and phones play: H.264 in MP4, or VP9 in WebM, through PyAV; each frame keeps its time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import InputError, OutputError
from cgsam_edge.live.library import load_av
from cgsam_edge.live.sound import Sound
from cgsam_edge.live.source_facts import SourceFacts, facts_of
from cgsam_edge.video import typable

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARK = "cgsam-edge overlay"
"""Comment in the files, by which a later run of ``cgsam segment`` knows that it may replace them."""

USUAL_CLOCK = Fraction(1, 90000)
"""Seconds of a tick of a video's clock; most frame rates have whole numbers of them."""

_ENCODERS = {
    ".mp4": ("libx264", "libopenh264", "h264_videotoolbox"),
    ".webm": ("libvpx-vp9",),
}
"""Encoders for each container, the best first; which ones there are depends on how FFmpeg was built."""

_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "20", "bf": "0"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "6", "crf": "30", "b": "0", "row-mt": "1", "auto-alt-ref": "0"},
}

_COMPLETE: dict[str, dict[str, str]] = {".mp4": {"movflags": "+faststart"}, ".webm": {}}
_LIVE = {
    ".mp4": {
        "movflags": "empty_moov+default_base_moof+frag_keyframe",
        "frag_duration": "1000000",
        "flush_packets": "1",
    },
    ".webm": {"live": "1", "cluster_time_limit": "1000", "flush_packets": "1"},
}
"""A file that can be played up to where it was written, even if the power fails."""

_LIVE_OPTIONS = {"libx264": {"tune": "zerolatency", "g": "30"}, "libvpx-vp9": {"lag-in-frames": "0", "g": "30"}}
"""No frame waits for later ones."""

_USUAL_RATE = 25
_MOST_BITRATE = 8_000_000


def encoder_for(suffix: str) -> str | None:
    """Return the name of the encoder for ``.mp4`` or ``.webm`` files, or None if PyAV lacks one.

    Raises:
        MissingLibraryError: PyAV is not installed.
    """
    av = load_av(f"a {suffix} that browsers play")
    return next((name for name in _ENCODERS[suffix] if name in av.codecs_available), None)


class PlayableVideo:
    """A video file that is written frame by frame; a context manager that closes it.

    Args:
        path: a name that ends with ``.mp4`` or ``.webm``.
        size: width and height of all frames, both even.
        rate: frames a second, about; each frame has its own time, and this only guides the encoder.
        source: a video whose clock, colours and sound the file takes over.
        alpha: whether frames have transparency; only WebM has it.
        fragmented: whether the file can be played while it is written; for recordings without an end.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        frames: number of frames written.
        sound: the source's sound, or None.

    Raises:
        MissingLibraryError: PyAV is not installed, or has no encoder for this container.
        InputError: the size or the container is not possible.
        OutputError, OSError: the file cannot be written.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        size: tuple[int, int],
        *,
        rate: float | None = None,
        source: str | None = None,
        alpha: bool = False,
        fragmented: bool = False,
    ) -> None:
        self._path = Path(path)
        _check(self._path, size, alpha=alpha)
        self._av = load_av(f"{self._path}: writing a video that browsers play")
        encoder = encoder_for(self._path.suffix)
        if encoder is None:
            raise OutputError(f"{self._path}: this build of PyAV has no encoder for {self._path.suffix} files.")
        self.encoder, self.frames = encoder, 0
        self._facts = None if source is None else facts_of(self._av, source)
        self._clock = USUAL_CLOCK if self._facts is None else self._facts.time_base
        self._alpha = alpha
        self._gap = max(1, round(1 / (rate or _USUAL_RATE) / self._clock))
        self._last: int | None = None
        self._end: int | None = None
        self._stack = ExitStack()
        try:
            self._open(size, rate, source, fragmented=fragmented)
        except BaseException:
            self._stack.close()
            raise

    def add(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Write a frame.

        Args:
            image: uint8 RGB (H, W, 3), or RGBA (H, W, 4) with transparency.
            seconds: time at which it is shown, later than the frame before; counted from the source's first frame.

        Raises:
            OSError: it cannot be written.
        """
        frame = self._av.VideoFrame.from_ndarray(image, format="rgba" if self._alpha else "rgb24")
        frame = frame.reformat(format=self._stream.codec_context.pix_fmt, dst_colorspace=self._matrix())
        frame.pts, frame.time_base = self._tick(seconds), self._clock
        with self._explained():
            self._mux(self._stream.encode(frame))
        self.frames += 1

    def close(self, seconds: float | None = None) -> None:
        """Write what is left, and the file's index.

        Args:
            seconds: when the last frame ends; None means when the source does, or after the usual time of a frame.

        Raises:
            OSError: it cannot be written.
        """
        with self._stack, self._explained():
            if self._last is not None:
                self._end = self._ending(seconds)
                self._mux(self._stream.encode(None))
                if self.sound is not None:
                    self.sound.mux(None)
            self._container.close()

    def __enter__(self) -> PlayableVideo:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what an encoder reports into an `OutputError`; errors of the disk are passed on."""
        try:
            yield
        except self._av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise OutputError(f"{self.encoder} cannot encode this video ({error.strerror}).") from error

    def abort(self) -> None:
        """Close the file as it is; it is of no use."""
        try:
            self._container.close()
        except (OSError, self._av.error.FFmpegError):  # such as a full disk, which is known already
            pass
        finally:
            self._stack.close()

    def _open(self, size: tuple[int, int], rate: float | None, source: str | None, *, fragmented: bool) -> None:
        suffix = self._path.suffix
        flags = _LIVE[suffix] if fragmented else _COMPLETE[suffix]
        name = self._stack.enter_context(typable(fspath(self._path.parent.absolute())))
        self._container = self._av.open(str(Path(name) / self._path.name), "w", options=flags)
        self._container.metadata["comment"] = MARK
        settings = {**_OPTIONS.get(self.encoder, {}), **(_LIVE_OPTIONS.get(self.encoder, {}) if fragmented else {})}
        pace = Fraction(rate or _USUAL_RATE).limit_denominator(1001)
        self._stream = stream = self._container.add_stream(self.encoder, rate=pace, options=settings)
        context = stream.codec_context
        context.width, context.height = size
        context.pix_fmt = "yuva420p" if self._alpha else "yuv420p"
        context.time_base = stream.time_base = self._clock
        if self.encoder not in _OPTIONS:
            context.bit_rate = _MOST_BITRATE
        if self._facts is not None:
            self._take_over(context, self._facts)
        self._open_sound(source)

    def _take_over(self, context: Any, facts: SourceFacts) -> None:
        if facts.shape != 1:
            context.sample_aspect_ratio = facts.shape
        if facts.hd:
            context.colorspace = context.color_primaries = context.color_trc = 1

    def _matrix(self) -> Any:
        return self._av.video.reformatter.Colorspace.ITU709 if self._facts is not None and self._facts.hd else None

    def _open_sound(self, source: str | None) -> None:
        self.sound: Sound | None = None
        if source is not None and self._facts is not None and self._facts.sound:
            name = self._stack.enter_context(typable(source))
            opened = self._stack.enter_context(self._av.open(name))
            self.sound = Sound(opened, self._container, self._path.suffix)

    def _tick(self, seconds: float) -> int:
        """Return a time in ticks."""
        start = 0.0 if self._facts is None else self._facts.start
        tick = round((seconds + start) / self._clock)
        if self._last is not None:
            if tick <= self._last:
                raise InputError(f"{self._path}: a frame at {seconds:g} s is not later than the frame before.")
            self._gap = tick - self._last
        self._last = tick
        return tick

    def _ending(self, seconds: float | None) -> int:
        assert self._last is not None
        facts = self._facts
        if seconds is not None:
            end = round((seconds + (0.0 if facts is None else facts.start)) / self._clock)
        elif facts is not None and facts.end is not None:
            end = round(facts.end / self._clock)
        else:
            end = 0
        return end if end > self._last else self._last + self._gap

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if self._end is not None and packet.pts == self._last:
                packet.duration = self._end - packet.pts
            if self.sound is not None:
                self.sound.mux(float(packet.pts * packet.time_base))
            self._container.mux(packet)


def _check(path: Path, size: tuple[int, int], *, alpha: bool) -> None:
    if path.suffix not in _ENCODERS:
        raise InputError(f"{path}: a video's name ends with {' or '.join(_ENCODERS)}.")
    if any(side < 2 or side % 2 for side in size):
        raise InputError(f"{path}: the sides of a video must be even, got {size[0]} x {size[1]}.")
    if alpha and path.suffix != ".webm":
        raise InputError(f"{path}: {path.suffix} has no transparency; .webm has.")


def fitted(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture cropped, or padded with black, to (width, height): a legend may be smaller later."""
    if picture.shape[1::-1] == size:
        return picture
    canvas = np.zeros((size[1], size[0], picture.shape[2]), np.uint8)
    part = picture[: size[1], : size[0]]
    canvas[: part.shape[0], : part.shape[1]] = part
    return canvas
