"""Lines of JSON between a process and its child. Imports next to nothing: a child may measure what imports cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any

Say = Callable[[dict[str, Any]], None]


def start(module: str, errors: IO[bytes], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start ``python -m module``, with pipes for its input and output and a file for its errors."""
    return subprocess.Popen(  # noqa: S603 — this interpreter, and a module of ours
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        encoding="utf-8",
        env=dict(environment),
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def speaker() -> Say:
    """Return what writes a line to the parent; from now on, engines that print do so to the standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(value: dict[str, Any]) -> None:
        out.write(json.dumps(value) + "\n")
        out.flush()

    return say
