"""The child process that measures one configuration: ``python -m cgsam_edge.bench.child``.

It reads lines of JSON, a `Request` and then commands, and answers each with a line of JSON. Between commands it waits
on the pipe, so that the engine of another child has the machine to itself. `worker` is the other side. Nothing heavy is
imported before it has said that it is up: what imports cost is measured.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Any

from cgsam_edge.runtimes.lines import Say, speaker


@dataclass(frozen=True)
class Request:
    """What to open.

    Attributes:
        backend: "module:class" of the engine.
        bundle: the bundle's folder.
        target: which of its folders of graphs the engine opens.
        device: as the engine names it.
        precision: of the arithmetic, as in `SessionOptions`.
        threads: likewise.
        picture: an ``.npy`` file of uint8 RGB (h, w, 3).
        concepts: names; the first is that for one concept and for the click.
    """

    backend: str
    bundle: str
    target: str
    device: str
    precision: str
    threads: int | None
    picture: str
    concepts: tuple[str, ...]


def serve(lines: Any, say: Say) -> None:
    """Open, segment once, and then do as told until the pipe closes."""
    say({"up": True})
    from cgsam_edge.bench.bencher import Bencher  # with numpy, opencv, Pillow and the segmenter

    say({"imported": True})
    bencher = Bencher(Request(**json.loads(next(lines))))
    say({"loaded": True})
    bencher.open()
    say({"opened": True})
    say(bencher.first())
    for line in lines:
        say(bencher.obey(json.loads(line)))
    bencher.close()


def main() -> None:
    """Talk over the standard input and output; engines that print do so to the standard error."""
    say = speaker()
    try:
        serve(sys.stdin, say)
    except Exception as error:  # told to the parent as it is
        from cgsam_edge.errors import CgsamError

        say({"failed": str(error) if isinstance(error, CgsamError) else f"{type(error).__name__}: {error}"})
    os._exit(0)  # an engine that crashes while it is unloaded has told all that is needed


if __name__ == "__main__":
    main()
