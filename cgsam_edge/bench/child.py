"""What the child process that measures one configuration does.

It takes a `BenchRequest` and then commands, and answers each. Between commands it waits, so that the engine of another
child has the machine to itself. `worker` is the other side. Nothing heavy is imported before `serve` is called: what
imports cost is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from cgsam_edge.runtimes.child import Requests, Say


@dataclass(frozen=True)
class BenchRequest:
    """What to open.

    Attributes:
        backend: "module:class" of the engine.
        bundle: the bundle's folder.
        target: which of its folders of graphs the engine opens.
        device: the engine's name for it.
        precision: precision of the arithmetic, as in `SessionOptions`.
        threads: likewise.
        picture: an ``.npy`` file of uint8 RGB (h, w, 3).
        concepts: names; the first is used for one concept and for the click.
    """

    backend: str
    bundle: str
    target: str
    device: str
    precision: str
    threads: int | None
    picture: str
    concepts: tuple[str, ...]


def serve(requests: Requests, say: Say) -> None:
    """Open, segment once, and then carry out commands until the parent closes the pipe."""
    from cgsam_edge.bench.bencher import Bencher  # with numpy, opencv, Pillow and the segmenter

    say({"imported": True})
    bencher = Bencher(BenchRequest(**next(requests)))
    say({"loaded": True})
    bencher.open()
    say({"opened": True})
    say(bencher.first())
    for command in requests:
        say(bencher.obey(command))
    bencher.close()
