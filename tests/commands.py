"""The command line in this process: what a user types, prints and gets, without a new interpreter for each."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from cgsam_edge.cli import main


@dataclass(frozen=True)
class Done:
    """What a command did; the names are those of `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def cgsam(*arguments: object, cwd: Path) -> Done:
    """Run ``cgsam`` in a folder."""
    out, err = io.StringIO(), io.StringIO()
    with _in(cwd), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(one) for one in arguments])
        except SystemExit as stopped:  # as argparse ends
            code = stopped.code if isinstance(stopped.code, int) else 1
    return Done(code, out.getvalue(), err.getvalue())


def fails(done: Done, code: int, *words: str) -> None:
    """Check that a command failed with this exit code, and said these words and no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr


@contextmanager
def _in(folder: Path) -> Iterator[None]:
    """Be in another folder, and give SIGTERM back, which the command line takes for itself."""
    kept = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield
    signal.signal(signal.SIGTERM, kept)
