"""The child's side of `children`, which starts it with the name of a module.

It greets its parent before anything heavy is imported, so that what imports cost can be measured, and then calls
``MODULE.serve(requests, say)``. An engine that crashes ends this process, and not the parent.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

Say = Callable[[dict[str, Any]], None]
Requests = Iterator[dict[str, Any]]

MARK = "cgsam: "
"""Begins every line for the parent; whatever else the interpreter prints when it starts has no mark."""


def greeting() -> dict[str, Any]:
    """Return the first message: which Python this is."""
    return {"python": sys.implementation.cache_tag, "platform": sys.platform}


def connect() -> tuple[Requests, Say]:
    """Return the parent's requests, and what sends it a message; prints go to the standard error from now on."""
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)

    def say(value: dict[str, Any]) -> None:
        out.write(f"{MARK}{json.dumps(value)}\n")
        out.flush()

    out.write("\n")  # ends a line that other output began
    say(greeting())
    return _requests(), say


def _requests() -> Requests:
    with os.fdopen(0, "rb", closefd=False) as lines:
        for line in lines:
            yield json.loads(line)


def main() -> None:
    """Serve with the module that the command line names, and say how it ended."""
    requests, say = connect()
    try:
        importlib.import_module(sys.argv[1]).serve(requests, say)
    except Exception as error:  # reported to the parent
        from cgsam_edge.errors import CgsamError

        say({"failed": str(error) if isinstance(error, CgsamError) else f"{type(error).__name__}: {error}"[:2000]})
    say({"done": True})
    os._exit(0)  # an engine that crashes while it is unloaded has done its work
