"""Lines of progress: as they are in a log, a bar per stage in a terminal."""

from __future__ import annotations

import io
from contextlib import suppress

from cgsam_edge.cli.progress_lines import ProgressLines

LINES = (
    "[1/2] PyTorch's masks …",
    "PyTorch's masks of picture 1 of 3",
    "PyTorch's masks of picture 2 of 3",
    "PyTorch's masks of picture 3 of 3",
    "[1/2] PyTorch's masks: 2.0 s",
    "SAM of width 192; 3 of 7 blocks semantic (4, 5, 6); CLIP of width 192",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(stream: io.StringIO) -> str:
    with ProgressLines(stream) as progress:
        for line in LINES:
            progress(line)
    return stream.getvalue()


def test_a_log_has_every_line() -> None:
    assert printed(io.StringIO()).splitlines() == list(LINES)


def test_a_terminal_has_a_bar_in_place_of_lines_that_count() -> None:
    shown = printed(Terminal())
    assert "2/3" in shown
    assert "PyTorch's masks of picture 2 of 3" not in shown
    for line in (LINES[0], LINES[-2], LINES[-1]):
        assert f"{line}\n" in shown


def test_a_stage_that_starts_again_gets_a_new_bar() -> None:
    stream = Terminal()
    with ProgressLines(stream) as progress:
        for line in (*LINES[1:3], LINES[1]):
            progress(line)
    assert stream.getvalue().count("1/3") >= 2


def test_a_failure_removes_the_bar() -> None:
    stream = Terminal()
    with suppress(ZeroDivisionError), ProgressLines(stream) as progress:
        progress(LINES[1])
        progress(str(1 // 0))
    assert stream.getvalue().endswith("\r")
