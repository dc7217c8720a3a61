"""The two bundles of a comparison: opening them, their common concepts, and where they run."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cgsam_edge._version import __version__
from cgsam_edge.errors import InputError
from cgsam_edge.quality.latency import Racer
from cgsam_edge.runtimes import cache, registry
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.vocabulary import fold
from cgsam_edge.wording import amount


@dataclass(frozen=True)
class Side:
    """One of two bundles.

    Attributes:
        name: name on the page.
        segmenter: the bundle, opened on a backend that the registry lists.
        threads: its number of threads.
    """

    name: str
    segmenter: Segmenter
    threads: int | None = None

    @property
    def label(self) -> str:
        """The name with the engine in use."""
        return f"{self.name} on {self.segmenter.backend}"

    def racer(self) -> Racer:
        """Return a racer, which measures the times of this side's graphs."""
        placed = self.segmenter.placement
        options = SessionOptions(self.threads, placed.device, placed.performance)
        return Racer(self.label, self.segmenter.bundle, registry.find(placed.backend), placed.target, options)


@dataclass(frozen=True)
class Opening:
    """Options for opening both bundles.

    Attributes:
        backend: an engine to force, or "auto".
        device: a device to force, or "auto".
        threads: CPU threads; None means all cores.
        soc: the chip, as `Segmenter` takes it.
    """

    backend: str = "auto"
    device: str = "auto"
    threads: int | None = None
    soc: int | None = None

    def open(self, bundle: Path) -> Segmenter:
        """Open a bundle."""
        return Segmenter(bundle, backend=self.backend, device=self.device, threads=self.threads, soc=self.soc)


@contextmanager
def opened(a: Path, b: Path, opening: Opening) -> Iterator[tuple[Side, Side]]:
    """Open two bundles, named by their folders, with letters added if these have the same name.

    Raises:
        BundleError: a folder is not a bundle.
        BackendError: no engine opens a bundle.
    """
    names = [a.resolve().name, b.resolve().name]
    if names[0] == names[1]:
        names = [f"A ({names[0]})", f"B ({names[1]})"]
    with opening.open(a) as first, opening.open(b) as second:
        yield Side(names[0], first, opening.threads), Side(names[1], second, opening.threads)


def common_concepts(a: Side, b: Side, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the concepts that both bundles know, under the first one's names unless others are requested.

    Args:
        a: the first bundle.
        b: the second.
        wanted: names or synonyms; None means all.

    Raises:
        InputError: a bundle does not know a requested name, or they have no concept in common.
    """
    known = [side.segmenter.bundle.vocabulary.aliases for side in (a, b)]
    if wanted is None:
        found = tuple(name for name in a.segmenter.concepts if fold(name) in known[1])
        if not found:
            lists = "; ".join(f"{side.name} knows {', '.join(side.segmenter.concepts)}" for side in (a, b))
            raise InputError(
                f"the two bundles have no concept in common: {lists}. Export one of them with the other's concepts."
            )
        return found
    for side, aliases in zip((a, b), known, strict=True):
        missing = [name for name in wanted if fold(name) not in aliases]
        if missing:
            raise InputError(
                f"{side.name} does not know {', '.join(missing)}; it knows {', '.join(side.segmenter.concepts)}."
            )
    unique: dict[int, str] = {}
    for name in wanted:
        unique.setdefault(known[0][fold(name)], name)
    return tuple(unique.values())


def both_calibrated(a: Side, b: Side, concept: str) -> bool:
    """Return whether presence of a concept is calibrated in both bundles."""
    return all(side.segmenter.bundle.vocabulary.calibrated(concept) for side in (a, b))


def not_compared(a: Side, b: Side, concepts: Sequence[str]) -> list[str]:
    """Return remarks about what the comparison leaves out."""
    found = []
    for side in (a, b):
        aliases = side.segmenter.bundle.vocabulary.aliases
        asked = {aliases[fold(name)] for name in concepts}
        others = [name for i, name in enumerate(side.segmenter.concepts) if i not in asked]
        if others:
            found.append(f"Not compared, only in {side.name}: {', '.join(others)}.")
    if not any(both_calibrated(a, b, concept) for concept in concepts):
        found.append("Presence is not compared: it is not calibrated in both bundles (cgsam calibrate).")
    return found


def machine(a: Side, b: Side) -> tuple[str, ...]:
    """Return lines about this machine, the engines of both bundles, and versions."""
    host = cache.host()
    placed = [side.segmenter.placement for side in (a, b)]
    cores = "cores unknown" if host.cores is None else amount(host.cores, "core")
    return (
        f"{host.system} {host.architecture}, {host.processor or 'processor unknown'}, {cores}",
        *(
            f"{side.name}: {p.backend} {p.version} on {p.device}, {p.precision}, {_threads(side)}"
            for side, p in zip((a, b), placed, strict=True)
        ),
        f"cgsam-edge {__version__}, Python {platform.python_version()}, numpy {version('numpy')}",
    )


def _threads(side: Side) -> str:
    return "all cores" if side.threads is None else amount(side.threads, "thread")
