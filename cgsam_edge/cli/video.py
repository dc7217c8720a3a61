"""The drawn video and the JSON lines of a video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING

from cgsam_edge.cli.messages import say
from cgsam_edge.errors import MissingLibraryError, OutputError
from cgsam_edge.files import beside
from cgsam_edge.live.mpeg4 import Mpeg4Video
from cgsam_edge.live.playable import PlayableVideo, encoder_for, fitted
from cgsam_edge.written_files import mark_mp4

if TYPE_CHECKING:
    from pathlib import Path

    from cgsam_edge.cli.drawing import Drawn
    from cgsam_edge.cli.inputs import Input
    from cgsam_edge.cli.looks import Look

_USUAL_FPS = 25.0
"""Frames a second of a video that does not state its rate."""

_LONGEST_PAUSE = 600.0
"""Longest plausible time between two frames, in seconds. A longer or negative one means that the clock jumps."""

_CLOSEST = 0.001
"""Seconds by which a frame follows another one at least; a file's clock may be no finer."""


class VideoOutput:
    """A drawn video such as ``NAME.overlay.mp4``, and ``NAME.jsonl``; both appear if the block succeeds.

    Nothing appears if there was no frame.

    Args:
        source: the video.
        look: how its frames are drawn.

    Attributes:
        overlay: the path of the drawn video.
        frames: number of frames added.
        seen: number of frames in which each concept is present.
        late: the longest time in seconds by which a frame is shown too late, if the rate of an MPEG-4 is too low.
    """

    def __init__(self, source: Input, look: Look) -> None:
        assert source.video is not None
        self.overlay = source.stem.with_name(f"{source.stem.name}{look.video}")
        self.frames = 0
        self.seen: Counter[str] = Counter()
        self.late = 0.0
        self._bare = True
        self._source, self._video, self._look = str(source.file), source.video, look
        self._lines = source.stem.with_name(f"{source.stem.name}.jsonl")
        self._fps = self._start = 0.0
        self._timed = False
        self._seconds = self._until = 0.0
        self._size = (0, 0)
        self._stack = ExitStack()
        self._film: PlayableVideo | Mpeg4Video | None = None

    def __enter__(self) -> VideoOutput:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._complete()

    def add(self, drawn: Drawn) -> None:
        """Write a frame.

        A picture whose size differs from the first one's is cropped or padded with black.

        Raises:
            OutputError, OSError: it cannot be written; the block's end turns either into an `OutputError`.
        """
        if self._film is None:
            self._start = self._seconds = drawn.seconds
            self._film = self._open((drawn.picture.shape[1], drawn.picture.shape[0]))
        elif not _CLOSEST <= drawn.seconds - self._seconds <= _LONGEST_PAUSE:  # the video's clock was reset
            self._start += drawn.seconds - self._seconds - 1 / self._fps
        with self._named():
            self._film.add(fitted(drawn.picture, self._size), self._shown(drawn.seconds))
        self._seconds, self._until = drawn.seconds, drawn.until
        self._text.write(f"{drawn.text}\n")
        self._text.flush()  # so that a full disk is noticed now
        self.frames += 1
        self.seen.update({name: int(present) for name, present in drawn.present.items()})
        self._bare = self._bare and drawn.bare

    def note(self) -> str:
        """Return what the last line says beside the numbers: sound, lateness, and that nothing was blurred."""
        late = f", up to {self.late:.1f} s late where frames follow each other quickly" if self.late >= 0.1 else ""
        sound = getattr(self._film, "sound", None)
        heard = "" if sound is None else ", with its sound" + ("" if sound.copied else f" as {sound.codec}")
        heard += ", which ends early" if sound is not None and sound.cut else ""
        return f"{heard}{late}{self._look.bare_note if self._bare else ''}"

    def _shown(self, seconds: float) -> float:
        """Return when a frame is shown; a video without usable times continues frame by frame."""
        return seconds - self._start if self._timed else self.frames / self._fps

    def _open(self, size: tuple[int, int]) -> PlayableVideo | Mpeg4Video:
        self._size = size
        rate = self._video.clock_rate()
        self._timed = rate is not None
        self._fps = rate or self._video.fps or _USUAL_FPS / self._video.every
        self._partial = self._stack.enter_context(beside(self.overlay))
        lines = self._stack.enter_context(beside(self._lines))
        self._text = self._stack.enter_context(lines.open("w", encoding="utf-8", errors="backslashreplace"))
        film = self._film_at(self._partial, size)
        self._stack.callback(film.abort)
        return film

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Have errors name the video, not the lines beside it."""
        try:
            yield
        except OSError as error:
            reason = str(error) if isinstance(error, OutputError) else f"could not be written ({error.strerror})."
            raise OutputError(f"{self.overlay}: {reason}") from error

    def _film_at(self, path: Path, size: tuple[int, int]) -> PlayableVideo | Mpeg4Video:
        if not can_play(self._look.container):
            return Mpeg4Video(path, size, rate=self._fps, timed=self._timed)
        source = self._source if self._timed else None
        return PlayableVideo(path, size, rate=self._fps, source=source, alpha=self._look.alpha)

    def _complete(self) -> None:
        film = self._film
        if film is None:
            return
        ends = self._shown(self._until) if self._timed and self._until > self._seconds else None
        with self._named():
            film.close(ends)
        self.late = getattr(film, "late", 0.0)
        if self.overlay.suffix == ".mp4":
            mark_mp4(self._partial)


@cache
def can_play(container: str) -> bool:
    """Whether videos that browsers play can be written; if not, say so once, where there is another way.

    Raises:
        MissingLibraryError: they cannot be, and the container has no other codec.
    """
    try:
        found = encoder_for(container)
    except MissingLibraryError as error:
        if container != ".mp4":
            raise
        say(f"cgsam: warning: videos are written as MPEG-4 part 2, which browsers do not play, without sound: {error}")
        return False
    if found is None:
        if container != ".mp4":
            raise MissingLibraryError(f"this build of PyAV has no encoder for {container} files; use --container mp4.")
        say("cgsam: warning: videos are written as MPEG-4 part 2, which browsers do not play: PyAV has no H.264 here.")
    return found is not None
