"""Output of the command line: streams that lack some characters, and warnings as one line."""

from __future__ import annotations

import codecs
import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_PLAIN = {"→": "->", "×": "x", "·": "-", "−": "-", "–": "-", "—": "-", "…": "...", "“": '"', "”": '"', "’": "'"}
_HANDLER = "cgsam-plain"


def prepare_streams() -> None:
    """Let no character stop the program: characters that a stream's encoding lacks are replaced or escaped."""
    codecs.register_error(_HANDLER, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if character in _PLAIN:
        return _PLAIN[character], error.start + 1
    escaped = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    return codecs.backslashreplace_errors(escaped)


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print this package's warnings for users as single lines; warnings for programmers keep their form."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # about sizes that are accepted here, and about odd metadata
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category is UserWarning and file is None:
                say(f"cgsam: warning: {message}")
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def say(text: str) -> None:
    """Print a line to the error stream, above a progress bar if there is one."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(text, file=sys.stderr)
    else:
        tqdm.tqdm.write(text, file=sys.stderr)
