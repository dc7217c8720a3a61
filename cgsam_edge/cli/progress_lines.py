"""Lines of progress: plain lines in a log, and a bar with the time left for stages that count, in a terminal."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from tqdm import tqdm

_COUNTED = re.compile(r"(?P<stage>\D+) (?P<done>\d+) of (?P<total>\d+)(?P<unit>\D*)")
"""A line that counts, such as "ranges of picture 3 of 64"."""


class ProgressLines:
    """Prints lines of progress; in a terminal, lines that count become one bar per stage. A context manager.

    Args:
        stream: where to print; None means stderr.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._stage = ""
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> ProgressLines:  # noqa: PYI034 — Self needs Python 3.11
        """Return the printer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Remove a bar that is still shown."""
        self._close()

    def __call__(self, line: str) -> None:
        """Print a line, or move the bar of its stage."""
        counted = _COUNTED.fullmatch(line) if self._stream.isatty() else None
        if counted is None:
            self._close()
            print(line, file=self._stream, flush=True)
        else:
            self._move(counted)

    def _move(self, counted: re.Match[str]) -> None:
        done, total, bar = int(counted["done"]), int(counted["total"]), self._bar
        if bar is None or counted["stage"] != self._stage or done <= bar.n:
            bar = self._begin(counted["stage"], total)
        bar.update(done - bar.n)
        if done >= total:
            self._close()

    def _begin(self, stage: str, total: int) -> tqdm[Any]:
        from tqdm import tqdm

        self._close()
        bar: tqdm[Any] = tqdm(total=total, desc=stage, leave=False, mininterval=0, file=self._stream)
        self._stage, self._bar = stage, bar
        return bar

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
