"""The files and messages that ``cgsam segment`` writes, in the order of the inputs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from cgsam_edge.cli.inputs import Input, count, is_video
from cgsam_edge.cli.looks import OVERLAY, Look
from cgsam_edge.cli.messages import say
from cgsam_edge.cli.video import VideoOutput
from cgsam_edge.errors import BackendError, CgsamError, ImageError, OutputError
from cgsam_edge.files import is_full, write_beside
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from pathlib import Path

    from cgsam_edge.cli.drawing import Drawn


class RunLog:
    """Progress, one line per file, and failures. A context manager that ends the progress bar.

    Args:
        inputs: all files.
        missing: number of names without a file.
    """

    def __init__(self, inputs: list[Input], missing: int = 0) -> None:
        from tqdm import tqdm

        alone = len(inputs) == 1 and inputs[0].video is None
        self._bar = tqdm(total=count(inputs), unit="image", disable=True if alone else None)
        self._inputs = inputs
        self._missing = self._failed = missing
        self._done = 0
        self._start = time.perf_counter()

    def __enter__(self) -> RunLog:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self) -> None:
        """Count an image or a frame."""
        self._done += 1
        self._bar.update()

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.write(text)

    def failure(self, error: Exception, source: Input | None = None) -> None:
        """Report a file that could not be used, could not be read to its end, or whose results could not be written.

        Args:
            error: the exception; one that is not a `CgsamError` is reported as an internal error.
            source: the file, if the error does not name it.
        """
        self._failed += 1
        text = str(error)
        if not isinstance(error, CgsamError):
            if os.environ.get("CGSAM_DEBUG"):
                raise error
            text = f"internal error: {type(error).__name__}: {error} (set CGSAM_DEBUG=1 for the traceback)"
        if source is not None and str(source.file) not in text:
            text = f"{source.file}: {text}"
        say(f"cgsam: error: {text}")

    def conclude(self, engine: float) -> int:
        """Print the speed, and return the exit code.

        Args:
            engine: seconds during which the engine was busy.
        """
        seconds = time.perf_counter() - self._start
        if self._done > 1:
            busy = f"the engine was busy {100 * engine / seconds:.0f} % of the time"
            print(f"{self._done} images in {seconds:.1f} s: {self._done / seconds:.2f} a second; {busy}")
        if self._failed:
            kind, cut = ("file", ", or could not be read to the end") if self._videos() else ("image", "")
            plural = "" if self._total() == 1 else "s"
            print(
                f"{self._failed} of {self._total()} {kind}{plural} could not be used{cut}; see above.", file=sys.stderr
            )
        return ImageError.exit_code if self._failed else 0

    def _videos(self) -> bool:
        return any(one.video is not None or is_video(one.file) for one in self._inputs)

    def _total(self) -> int:
        return len(self._inputs) + self._missing


def write_image(source: Input, drawn: Iterable[Future[Drawn]], log: RunLog, look: Look = OVERLAY) -> None:
    """Write the picture and the JSON of an image, and report it; failures are reported too.

    Raises:
        BackendError: the engine failed.
        OutputError: nothing more can be written.
    """
    for future in drawn:
        try:
            one = future.result()
            _save(source.stem, one, look)
        except BackendError:
            raise
        except Exception as error:  # whatever it is, it concerns this image alone
            if isinstance(error, OutputError) and is_full(error):
                raise
            log.failure(error, source)
        else:
            log.line(f"{source.file}: {one.summary} → {source.stem}{look.picture}{look.bare_note if one.bare else ''}")
            log.step()
            del one  # otherwise it would stay in memory while waiting for the next one
        del future


def _save(stem: Path, drawn: Drawn, look: Look) -> None:
    text = drawn.text.encode("utf-8", "backslashreplace")  # a name that is not UTF-8 is escaped as JSON does
    write_beside(stem.with_name(f"{stem.name}{look.picture}"), lambda path: path.write_bytes(drawn.picture))
    write_beside(stem.with_name(f"{stem.name}.json"), lambda path: path.write_bytes(text))


def write_video(source: Input, drawn: Iterable[Future[Drawn]], log: RunLog, look: Look = OVERLAY) -> None:
    """Write the drawn video and the JSON lines of a video, up to where it could be read.

    Raises:
        BackendError: the engine failed.
        OutputError: a file cannot be written.
    """
    problem: Exception | None = None
    with VideoOutput(source, look) as output:
        for future in drawn:
            try:
                one = future.result()
            except BackendError:
                raise
            except Exception as error:  # it concerns this frame alone, or reading ended with it
                problem = problem or error
                continue
            output.add(one)
            log.step()
    if problem is not None:
        log.failure(problem, source)
    if output.frames:
        seen = ", ".join(f"{name} in {n}" if n else f"{name} absent" for name, n in output.seen.items())
        log.line(f"{source.file}: {amount(output.frames, 'frame')}, {seen} → {output.overlay}{output.note()}")
